"""User errors: what was given, what was expected, how to fix it."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

import yaml

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal, reorder a line, or can't be encoded."""

MAX_CHARACTERS = 4000
"""Of a message, which may quote an answer or a file of any length."""


class CommandError(Exception):
    """An error that the user can fix."""

    exit_code = 2


class Declined(CommandError):  # noqa: N818 - nothing went wrong
    """The user declined to write what was shown."""

    exit_code = 1


class Untrusted(CommandError):  # noqa: N818 - git's term
    """The repository belongs to another user; the message has git's own remedy."""


def require_memory() -> None:
    """Fail in a line: without this much memory, importing SciPy may never end, and Polars aborts.

    Raises:
        CommandError: less than 1 GiB is left of a limit.
    """
    try:
        mmap.mmap(-1, 2**30).close()
    except OSError as error:
        raise CommandError(f"out of memory: {error.strerror}; needs 1 GiB, see ulimit -v") from None


def printable(text: str) -> str:
    """Text that a terminal shows and doesn't execute, of a bounded length."""
    if len(text) > MAX_CHARACTERS:
        text = f"{text[: MAX_CHARACTERS // 2]} … {text[-MAX_CHARACTERS // 2 :]}"
    return UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def load_yaml(text: str) -> Any:
    """Parse YAML.

    Raises:
        ValueError: it can't be parsed; with the reason in one line.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (ValueError, OverflowError, AttributeError) as error:  # of PyYAML's dates and numbers
        raise ValueError(f"a date or a number in it is invalid: {error}") from None


def nearest(word: str, names: Iterable[str], otherwise: str) -> str:
    """A hint with the most similar name, or another hint if none is similar."""
    matches = get_close_matches(word, list(names), n=1)
    return f"did you mean {matches[0]}?" if matches else otherwise
