"""Text in shards: the processes that make those that are missing."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

from ..errors import CommandError, printable
from ..studies.project import Project

MODULE = "data/shards.py"
"""In a project, prints the numbers of missing shards, or makes one and prints their folder."""

MAX_SHARDS = 256  # a run maps two files of each, and may often open a thousand
POLL_SECONDS = 0.05


def prepare(project: Project, config: Path, count: int, jobs: int, only: int | None) -> int:
    """Make the missing shards of a config's text, a process each; what is there stays.

    Args:
        project: packs the text.
        config: file with its settings.
        count: of all shards.
        jobs: how many to make at the same time.
        only: make this one, as the elements of an array do.

    Returns:
        0; 1 if some shards can't be made; or else the exit code of the project.

    Raises:
        CommandError: the project has no shards, or there are no such ones.
    """
    if count > MAX_SHARDS:
        raise CommandError(f"--shards {count}: expected at most {MAX_SHARDS}")
    if only is not None and not 0 <= only < count:
        raise CommandError(f"--shard {only}: expected 0 to {count - 1}")
    command = [*project.python(), "-m", _module(project.root), str(config.resolve()), str(count)]
    numbers = [] if only is None else [only]
    if only is None:
        asked = _start(project, command)
        output, _ = asked.communicate()
        if asked.returncode != 0:
            return asked.returncode
        numbers = [int(word) for word in output.split()]
        print(f"{count - len(numbers)} of {count} shards are there")
    failed = _make(project, command, numbers, jobs)
    if failed:
        print(
            f"failed: shard {', '.join(map(str, failed))} of {count}; the same command makes what "
            "is missing",
            file=sys.stderr,
        )
        return 1
    return 0 if only is not None else _finish(project, config, count, command)


def _finish(project: Project, config: Path, count: int, command: list[str]) -> int:
    """Say where the shards are, and what to run next. Returns the exit code."""
    asked = _start(project, [*command, "0"])  # which is there: the numbers alone name no folder
    output, _ = asked.communicate()
    if asked.returncode != 0:
        return asked.returncode
    print(f"Passed: all {count} shards are there")
    if folder := output.strip():  # projects made before 0.10 don't print it
        print(printable(f"Result: {project.root / folder}"))
    words = [*project.command, "train", "--config", str(config)]
    print(printable(f"Next: {shlex.join(words)}"))
    return 0


def _make(project: Project, command: list[str], numbers: list[int], jobs: int) -> list[int]:
    """Make shards. Returns those that failed, each of which has said why."""
    waiting = list(reversed(numbers))
    running: dict[int, subprocess.Popen[str]] = {}
    failed: list[int] = []
    done = 0
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number = waiting.pop()
                running[number] = _start(project, [*command, str(number)])
            time.sleep(POLL_SECONDS)
            for number, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[number]
                if process.returncode != 0:
                    failed.append(number)
                else:
                    done += 1
                    print(f"{done} of {len(numbers)}: shard {number} is made", flush=True)
    finally:
        for process in running.values():  # they remove what is unfinished
            process.terminate()
        for process in running.values():
            process.wait()
    return sorted(failed)


def _start(project: Project, command: list[str]) -> subprocess.Popen[str]:
    """Start a process whose errors are shown."""
    return subprocess.Popen(
        command,
        cwd=project.root,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,  # a few numbers, which fit into the pipe
        text=True,
    )


def _module(root: Path) -> str:
    paths = list(root.glob(f"src/*/{MODULE}"))
    if len(paths) != 1:
        raise CommandError(
            f"{root}: expected one src/PACKAGE/{MODULE}, which projects with starter = "
            "language_model have; older ones get it by: ml-architect update"
        )
    return f"{paths[0].parts[-3]}.data.shards"
