"""A job: what it trains, on which resources, and the file that a cluster reads."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from ..errors import CommandError
from ..runs.run import RUNS, write_file
from ..studies.project import Project
from ..studies.runner import command_line

CONTINUE = "ML_ARCHITECT_CONTINUE"
"""Environment variable with the command that continues a run of several processes."""

TIME = r"(\d+-)?\d+(:\d+){0,2}"
"""Of Slurm: minutes, minutes:seconds, hours:minutes:seconds, and each with days before it."""

OURS = {
    "time": "--time",
    "t": "--time",
    "signal": "--grace",
    "nodes": "--nodes",
    "N": "--nodes",
    "ntasks-per-node": "--processes",
    "gpus-per-node": "--gpus",
    "cpus-per-task": "--cpus",
    "c": "--cpus",
}
"""Options of sbatch that a job has already, by options of ours."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What each start of a job gets."""

    nodes: int = 1
    gpus: int = 0  # per node
    processes: int = 0  # per node; 0: one per GPU, or a single one
    cpus: int = 0  # cores per process; 0: left to the cluster
    grace: int = 120  # seconds that a run has to save its state before it is killed
    time: str = ""  # limit of each start; empty: the partition's
    sbatch: Sequence[str] = ()  # more options of sbatch

    def __post_init__(self) -> None:
        """Reject what the cluster would reject or misread.

        Raises:
            CommandError: with the option's name.
        """
        if self.time and not re.fullmatch(TIME, self.time):
            raise CommandError(
                f"--time {self.time}: expected a limit such as 24:00:00, 2-00:00:00 or 90 (minutes)"
            )
        if self.time and _seconds(self.time) <= self.grace + 60:  # a signal may be a minute early
            raise CommandError(
                f"--time {self.time}: expected over a minute longer than the {self.grace} seconds "
                "for saving (--grace)"
            )
        for option in self.sbatch:
            if not re.fullmatch(r"-[^\n\r]+", option):
                raise CommandError(
                    f"--sbatch {option!r}: expected an option of sbatch, such as "
                    "--sbatch=--partition=gpu"
                )
            match = re.match(r"--([\w-]+)|-(\w)", option)
            if match and (ours := OURS.get(match[1] or match[2])):
                raise CommandError(
                    f"--sbatch={option}: the job has this option already; set it by {ours}"
                )

    @property
    def processes_per_node(self) -> int:
        """One per GPU unless it was given."""
        return self.processes or self.gpus or 1


def _seconds(time: str) -> int:
    """A limit as Slurm reads it: after days, the first number is hours, else minutes."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        parts += [0] * (3 - len(parts))
    elif len(parts) < 3:
        parts = [0, *parts, 0][:3]
    hours, minutes, seconds = parts
    return 86400 * int(days or 0) + 3600 * hours + 60 * minutes + seconds


@dataclass(frozen=True)
class Job:
    """A run that a cluster starts again until it has ended."""

    name: str
    project: Project
    arguments: tuple[str, ...]  # of the project's command

    @property
    def label(self) -> str:
        """The name as clusters allow it: lower case, digits and dashes."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:40].strip("-") or "run"

    def write(self, suffix: str, template: str, **values: Any) -> Path:
        """Write the job beside the run, whose folder is the project's own."""
        folder = self.project.root / RUNS
        path = folder / f"{self.name}{suffix}"
        text = render(template, job=self, path=path, **values)
        (folder / "logs" / self.name).parent.mkdir(parents=True, exist_ok=True)
        write_file(path, text.encode())
        return path


def render(template: str, **values: Any) -> str:
    """Fill in one of the templates beside this file."""
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined
    )
    environment.filters["shell"] = lambda value: shlex.quote(str(value))
    environment.filters["words"] = shlex.join
    environment.filters["yaml"] = lambda value: json.dumps(value, ensure_ascii=False)
    path = str(values["path"])
    if not path.isprintable():
        raise CommandError(f"{path!r}: a job can't be in a folder with such characters")
    source = Path(__file__).with_name(template).read_text(encoding="utf-8")
    # In a comment, a name with a line break would start a line of its own.
    written_by = " ".join(command_line().split())
    return environment.from_string(source).render(written_by=written_by, **values)


def plan_job(project: Project, arguments: Sequence[str], processes: int) -> Job:
    """Make a job of the arguments of a training.

    It may be started several times, so it gets a name and `--or-resume`.

    Raises:
        CommandError: they aren't those of a training, or the project refuses the settings.
    """
    words = list(arguments)
    if words[:1] != ["train"]:
        given = shlex.join(words) or "nothing"
        raise CommandError(
            f"after --: {given}: expected the command that trains a run, such as: "
            "-- train --config configs/full.toml"
        )
    if any(word.split("=")[0] == "--resume" for word in words):
        raise CommandError(
            "--resume: a job starts its run and continues it, so give the run's name instead: "
            "--run-name NAME"
        )
    name = option(words, "--run-name")
    if not name:
        name = Path(option(words, "--config")).stem
        if not name:
            raise CommandError("after --: expected --run-name NAME, or --config FILE for its name")
        words += ["--run-name", name]
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name):
        raise CommandError(
            f"--run-name {name!r}: expected letters, digits, dots and dashes, or two such names, "
            "STUDY/NAME"
        )
    if "--or-resume" not in words:
        words.append("--or-resume")
    project.require_valid(words, processes)
    return Job(name, project, tuple(words))


def option(words: Sequence[str], name: str) -> str:
    """The value of an option on a command line; empty if it isn't there."""
    for number, word in enumerate(words):
        if word == name:
            return "".join(words[number + 1 : number + 2])
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""


def quiet(processes: int) -> str:
    """An option of torchrun: only the first process prints, the others write to files."""
    return ",".join(f"{number}:3" for number in range(1, processes)) or "0"
