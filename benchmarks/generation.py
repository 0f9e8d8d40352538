"""How long it takes to make a project and to update one, and how much memory: `make bench`.

A machine's speed cancels out in the ratios: to `import copier`, which no template can avoid, and to
a template of a single file. `ml-architect` stands beside the `copier` that does the same. Runs
alternate, so that whatever else the machine does hits all alike.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

MOST_IMPORTS = 2.75  # times `import copier`: 1.1 s where that takes 0.4 s
MOST_FILES = 45
MOST_ADDED = 0.75  # times `import copier`, by which `new` is slower than `copier copy`: 0.3 s
MOST_UPDATE = 6.25  # times `import copier`: 2.5 s


@dataclass
class Case:
    """A command, and what its runs took."""

    name: str
    command: Sequence[str]
    project: Path | None = None  # copied to the destination first, untimed
    seconds: list[float] = field(default_factory=list[float])
    megabytes: list[float] = field(default_factory=list[float])

    def measure(self, folder: Path) -> None:
        """Run it once; `{destination}` is a new folder."""
        destination = folder / f"{self.name.replace(' ', '-')}-{len(self.seconds)}"
        command = [part.format(destination=destination) for part in self.command]
        if self.project is not None:
            shutil.copytree(self.project, destination)
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        self.seconds.append(time.perf_counter() - began)
        self.megabytes.append(used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{said.decode()}")


def released(folder: Path) -> tuple[Path, Path]:
    """The template with its releases and the working tree, and a project of the last release."""
    sys.path.insert(0, str(ROOT / "tests"))
    from repository import copy, updated_from, with_releases

    template = with_releases(folder / "template")
    return template, copy(template, folder / "project" / "digits", updated_from()[-1].version)


def working_tree(folder: Path, *, committed: bool) -> Path:
    """A copy of the working tree, as a repository or as a plain folder."""
    sys.path.insert(0, str(ROOT / "tests"))
    from rendering import copy_template
    from repository import commit

    copy_template(folder)
    if committed:
        commit(folder, "The working tree")
    return folder


def one_file(folder: Path) -> Path:
    """The smallest template."""
    folder.mkdir()
    (folder / "copier.yml").write_text("name:\n  type: str\n  default: x\n", encoding="utf-8")
    (folder / "file.txt.jinja").write_text("{{ name }}\n", encoding="utf-8")
    return folder


def copying(template: Path) -> list[str]:
    """The command that makes a project."""
    copier = [sys.executable, "-m", "copier", "copy", "--trust", "--defaults", "--quiet"]
    return [*copier, str(template), "{destination}"]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s [--runs N]")
    parser.add_argument("--runs", type=int, default=7, help="runs of each command")
    runs: int = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = working_tree(folder / "plain", committed=False)
        cloned = working_tree(folder / "repository", committed=True)
        imports = Case("import copier", [sys.executable, "-c", "import copier"])
        single = Case("one file", copying(one_file(folder / "single")))
        ours = Case("ours, a folder", copying(plain))
        from_repository = Case("ours, a repository", copying(cloned))
        command = str(Path(sys.executable).with_name("ml-architect"))
        our_new = [command, "new", "{destination}", "--defaults", "--template", str(cloned)]
        new = Case("ml-architect new", our_new)
        template, project = released(folder / "released")
        plain_update = [sys.executable, "-m", "copier", "update", "--trust", "--defaults"]
        update = Case("copier update", [*plain_update, "--quiet", "{destination}"], project)
        our_update = [command, "update", "{destination}", "--yes", "--template", str(template)]
        twice = Case("ml-architect update", our_update, project)
        cases = [imports, single, ours, from_repository, new, update, twice]
        for case in cases:  # fill the caches of the disk and of Python
            case.measure(folder)
            case.seconds.clear()
            case.megabytes.clear()
        for _ in range(runs):
            for case in cases:
                case.measure(folder / "runs")
        made = folder / "runs" / "ours,-a-repository-0"
        files = sum(path.is_file() for path in made.rglob("*"))

    base, small = statistics.median(imports.seconds), statistics.median(single.seconds)
    print(f"{'':22}{'seconds':>9}{'x import':>10}{'x one file':>12}{'MB, most':>10}")
    for case in cases:
        middle, memory = statistics.median(case.seconds), max(case.megabytes)
        ratios = f"{middle / base:10.2f}{middle / small:12.2f}"
        print(f"{case.name:22}{middle:9.2f}{ratios}{memory:10.0f}")
    print(f"Medians of {runs} alternating runs. A default project has {files} files.")
    added = statistics.median(new.seconds) - statistics.median(from_repository.seconds)
    print(f"`new` takes {added:.2f} s more than `copier copy`, {added / base:.2f} imports.")
    print(
        f"Targets, in imports: a folder {MOST_IMPORTS}, `new` {MOST_ADDED} more, `copier update` "
        f"{MOST_UPDATE}; at most {MOST_FILES} files."
    )


if __name__ == "__main__":
    main()
