# The template's: updates improve this file and keep your edits.
"""Errors that the user can fix. The command line prints the message without a traceback."""

import os
import re
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from difflib import get_close_matches
from functools import cache
from io import TextIOWrapper
from typing import Any, TextIO

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
    """Stopped by a signal, such as SIGTERM. The state is saved; schedulers may start it again."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean …?' with the nearest known name, or an empty string."""
    name = re.sub("accumulation.steps", "parts", name)  # as it was called until 0.8
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def redact_passwords(text: str) -> str:
    """The text without what a URL in it may keep secret, so that it can be written to files.

    That is its user and password, which may contain any character, and the values of its query.
    """
    scheme, separator, rest = text.partition("://")
    rest = re.sub(r"(?s).*@", "***@", rest)
    return scheme + separator + re.sub(r"([?&;#][^=&;#\s]+=)[^&;#]*", r"\1***", rest)


def printable(*parts: object) -> str:
    """Lines for a message, with escape sequences quoted and long lines cut."""
    lines = "\n".join(map(str, parts)).split("\n")
    quoted = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines]
    return "\n".join(line if len(line) <= 1000 else f"{line[:1000]}…" for line in quoted)


def report_error(error: BaseException) -> int:
    """Print what the user can fix, or raise the error again. Returns the exit code."""
    code, text = 1, str(error).partition("\n")[0]
    if isinstance(error, ProjectError):
        code, text = error.exit_code, "\n".join([str(error), *getattr(error, "__notes__", [])])
    elif isinstance(error, MemoryError) or re.search("of memory|allocate memory|map segment", text):
        text = f"out of memory; raise the limit, or try a lower training.batch_size. {text}"
    elif isinstance(error, OSError):  # no permission, a full disk
        reason = error.strerror or str(error).strip().rpartition("\n")[2]  # a worker's traceback
        text = f"{error.filename or 'reading or writing failed'}: {reason}"
        if isinstance(error, FileNotFoundError):
            text += "; was it, or its folder, moved or deleted? Restore it, or start again"
    elif isinstance(error, KeyboardInterrupt):
        code, text = 130, "interrupted"
    else:
        raise error
    print(printable(text), file=sys.stderr)
    return code


@cache
def warn(message: str) -> None:
    """Print a warning, once."""
    print(f"Warning: {message}", file=sys.stderr)


@contextmanager
def terminal() -> Generator[None]:
    """Printing never fails: not in ASCII, and not when the terminal or the reader has gone."""
    streams: list[Any] = [stream and _Stream(stream) for stream in (sys.stdout, sys.stderr)]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        yield


class _Stream:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:  # from here on, it is written to nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
