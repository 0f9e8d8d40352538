"""How long `ml-architect review` takes on a project, such as a clone of timm.

    python benchmarks/review.py FOLDER

Processor seconds are compared with those of parsing the same files with `ast`, and of ruff with all
its rules. The same project is also reviewed by parts, to see whether time grows with its lines.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

MAX_SECONDS = 10  # per 100,000 lines

PARSE = """
import ast, sys
from pathlib import Path

for path in Path(sys.argv[1]).rglob("*.py"):
    ast.parse(path.read_bytes())
"""


def seconds(command: Sequence[str]) -> float:
    """Processor time of a command and its children. It may exit with 1, since it has findings."""
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)} failed:\n{error.decode()}")
    return usage.ru_utime + usage.ru_stime


def count_lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.py"))


def keep_every(number: int, source: Path, folder: Path) -> Path:
    """A copy with every so many of the Python files."""
    for path in sorted(source.rglob("*.py"))[::number]:
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    review = [sys.executable, "-m", "ml_architect", "review"]
    ruff = [str(Path(sys.executable).with_name("ruff")), "check", "--isolated", "--no-cache"]

    with tempfile.TemporaryDirectory() as temporary:
        folders = {
            number: keep_every(number, options.folder, Path(temporary, f"part-{number}"))
            for number in (4, 2, 1)
        }
        whole = str(folders[1])
        commands = {
            "parsing with ast": [sys.executable, "-c", PARSE, whole],
            "ruff, all rules": [*ruff, "--select", "ALL", "--quiet", whole],
            **{
                f"review of 1/{number} of the files": [*review, str(folder)]
                for number, folder in folders.items()
            },
        }
        lines = {name: count_lines(Path(command[-1])) for name, command in commands.items()}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.runs):  # in turn, so that other load affects all equally
            for name, command in commands.items():
                times[name].append(seconds(command))

    print(f"{'':28}{'lines':>9}{'seconds':>9}{'per 100,000':>13}{'times ast':>11}")
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        per_100k = 1e5 * median / lines[name]
        ratio = median / medians["parsing with ast"]
        print(f"{name:28}{lines[name]:9}{median:9.1f}{per_100k:13.1f}{ratio:11.1f}")
    name = "review of 1/1 of the files"
    return int(1e5 * medians[name] / lines[name] > MAX_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
