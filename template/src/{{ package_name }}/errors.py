# The template's: updates improve this file and keep your edits.
"""What can go wrong, each with a message that names what was given, what was expected, the way out.

The command line prints the message without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

NAME = __name__.partition(".")[0].replace("_", "-")
"""Of the command, for messages that say what to run."""


def without_passwords(text: str) -> str:
    """A text in which the passwords of addresses are starred: it may go into files and messages."""
    text = re.sub(r"(://[^:/@\s]*:)[^\s]*@", r"\1***@", text)
    return re.sub(r"(?i)([?&][^=&\s]*passw[^=&\s]*=)[^&\s]*", r"\1***", text)


def command_line() -> list[str]:
    """The command as it was given, for files and messages."""
    return [without_passwords(word) for word in sys.argv]


class ProjectError(Exception):
    """Base of the errors that a person can mend. Any other is a bug, and keeps its traceback."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a config."""

    path: str  # such as "training.max_steps"
    given: object
    expected: str

    def __str__(self) -> str:
        return f"{self.path} = {self.given!r}: expected {self.expected}"


class ConfigError(ProjectError):
    """Settings that are unknown, of a wrong type, out of range or contradictory.

    Not a ValueError: tyro would wrap that in a box of its own and hide the setting's path.
    """

    def __init__(self, problems: Iterable[Problem | str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(ProjectError):
    """Records that can't be read or don't fit the schema, all of them."""


class RunError(ProjectError):
    """A run that exists, doesn't exist, or has other settings or data."""


class RunExistsError(RunError):
    """There is a run of that name."""


class RunInUseError(RunError):
    """Another process trains the run."""

    exit_code = 3


class CheckpointError(ProjectError):
    """No checkpoint could be written, or none of those there is intact."""

    exit_code = 1


class TrainingError(ProjectError):
    """Training went wrong: a loss or a gradient isn't finite, or the disk is full."""

    exit_code = 1


class Interrupted(ProjectError):  # noqa: N818 - nothing went wrong
    """SIGTERM, SIGINT or SIGUSR1: the state is saved; a scheduler may start the run again."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h, "try again"


def unknown(path: str, valid: Sequence[str], kind: str = "setting") -> str:
    """The message for a name that doesn't exist, with the nearest one that does."""
    near = get_close_matches(path, valid, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(valid)}"
    return f"{path}: unknown {kind}; {hint}"


def unknown_setting(path: str, valid: Sequence[str]) -> str:
    """The same for a setting: one of its section that looks alike, or its namesake in another.

    Sections are compared apart from names, since a section's own name makes all in it look alike.
    """
    section, _, name = path.rpartition(".")
    beside = [each for each in valid if section and each.rpartition(".")[0] == section]
    leaves = {each.rpartition(".")[2]: each for each in (beside or valid)}
    if near := get_close_matches(name, leaves, n=1):
        return f"{path}: unknown setting; did you mean {leaves[near[0]]}?"
    if namesakes := [each for each in valid if each.rpartition(".")[2] == name]:
        return f"{path}: unknown setting; did you mean {namesakes[0]}?"
    return f"{path}: unknown setting; expected one of {', '.join(beside or valid)}"
