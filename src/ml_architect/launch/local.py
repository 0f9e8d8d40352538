"""Several processes on this machine, by the torchrun of the project's Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from ..runs.run import RUNS
from ..studies.project import Project
from ..studies.runner import command_line
from .job import CONTINUE, option, quiet


def launch_local(
    project: Project, arguments: Sequence[str], processes: int, grace: int
) -> NoReturn:
    """Replace this process by torchrun, which then gets its signals and sets its exit code.

    Args:
        project: whose command is started.
        arguments: of the command.
        processes: how many.
        grace: seconds that a run has to save its state before it is killed.

    Raises:
        CommandError: the project refuses its settings.
    """
    if arguments[0] == "train" and "--dry-run" not in arguments:
        project.require_valid(arguments, processes)
    environment = project.environment()
    environment.setdefault("OMP_NUM_THREADS", str(max(1, cores() // processes)))
    environment.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(grace))
    goes_on = {"--resume", "--or-resume"} & {word.partition("=")[0] for word in arguments}
    environment[CONTINUE] = command_line() + (" --or-resume" if not goes_on else "")
    name = option(arguments, "--run-name") or Path(option(arguments, "--config")).stem
    words = [
        *project.python(),
        str(Path(__file__).with_name("torchrun.py")),
        "--standalone",
        f"--nproc-per-node={processes}",
        f"--redirects={quiet(processes)}",
        f"--log-dir={RUNS}/logs/{name or 'launch'}",
        *project.command,
        *arguments,
    ]
    if "--dry-run" in arguments:  # it trains nothing, and a study calls it dozens of times
        words = [*project.command, *arguments]
    os.chdir(project.root)
    os.execvpe(words[0], words, environment)


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
