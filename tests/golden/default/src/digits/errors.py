# The template's: updates improve this file and keep your edits.
"""Errors that the user can fix. The command line prints the message without a traceback."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

PROGRAM = __name__.partition(".")[0].replace("_", "-")
"""Name of the command, for messages that say what to run."""


class ProjectError(Exception):
    exit_code = 2


class ConfigError(ProjectError):
    """Settings that are unknown, of the wrong type, out of range or contradictory."""


class DataError(ProjectError):
    """Examples that are missing, unreadable or invalid."""


class RunError(ProjectError):
    """A run that doesn't exist, already exists, or has other settings or data."""


class RunInUseError(RunError):
    exit_code = 3


class TrainingError(ProjectError):
    """A loss that isn't finite, a full disk, corrupt checkpoints."""

    exit_code = 1


class CheckpointError(TrainingError):
    """A checkpoint couldn't be written, or none is intact."""


class Interrupted(ProjectError):  # noqa: N818 - nothing went wrong
    """Stopped by SIGTERM, SIGINT or SIGUSR1. The state is saved; schedulers may start it again."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean …?' with the nearest known name, or an empty string."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def redact_passwords(text: str) -> str:
    """The text with the passwords in URLs replaced by ***, so that it can be written to files."""
    text = re.sub(r"(://[^:/@\s]*:)[^\s]*@", r"\1***@", text)
    return re.sub(r"(?i)([?&][^=&\s]*passw[^=&\s]*=)[^&\s]*", r"\1***", text)
