"""Packing of text in shards: MB/s of `ml-architect prepare` with 1, 2, … processes.

    .venv/bin/python benchmarks/prepare.py PROJECT [--megabytes 400] [--processes 1 2]

PROJECT is a project of the language model. Prints medians, and ratios to one process. The time
includes the start of each process, two to three seconds of imports per shard: give it enough text.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-project/bin/python"
SHARDS = 4
DOCUMENT = 4096  # bytes


def write_text(folder: Path, megabytes: int) -> None:
    """Files of random words, one per shard; no two documents are equal."""
    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(1, 9))) for _ in range(5000)]
    folder.mkdir()
    for number in range(SHARDS):
        with (folder / f"{number}.txt").open("w", encoding="ascii") as file:
            for document in range(megabytes * 10**6 // DOCUMENT // SHARDS):
                text = " ".join(rng.choices(words, k=DOCUMENT // 6))
                file.write(f"{number} {document} {text}"[: DOCUMENT - 6] + "\n---\n\n")


def seconds(project: Path, scratch: Path, jobs: int) -> float:
    """Time one `prepare`, into a new cache."""
    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        config = Path(cache) / "config.toml"
        config.write_text(
            f'cache_dir = "{cache}/cache"\n[data]\npath = "{scratch}/text"\n'
            'documents = "separator"\nseparator = "---"\n',
            encoding="utf-8",
        )
        (module,) = project.glob("src/*/cli.py")
        command = [sys.executable, "-m", "ml_architect", "prepare", str(config)]
        command += ["--shards", str(SHARDS), "--jobs", str(jobs)]
        command += ["--command", f"{PYTHON} -m {module.parent.name}.cli"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", str(ROOT / "src")])}
        started = time.perf_counter()
        subprocess.run(command, cwd=project, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def main() -> None:
    """Measure and print a table; the numbers of processes alternate."""
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s PROJECT [OPTION ...]")
    parser.add_argument("project", type=Path)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    project: Path = options.project.resolve()
    times: dict[int, list[float]] = {jobs: [] for jobs in options.processes}
    with tempfile.TemporaryDirectory() as scratch:
        write_text(Path(scratch) / "text", options.megabytes)
        for _ in range(options.rounds):
            for jobs, found in times.items():
                found.append(seconds(project, Path(scratch), jobs))
    first = median(next(iter(times.values())))
    print(f"{'processes':>9}{'seconds':>10}{'MB/s':>8}{'ratio':>8}")
    for jobs, found in times.items():
        middle = median(found)
        print(f"{jobs:>9}{middle:>10.1f}{options.megabytes / middle:>8.1f}{first / middle:>8.2f}")
    print(f"Medians of {options.rounds} alternating rounds, {SHARDS} shards.")


if __name__ == "__main__":
    main()
