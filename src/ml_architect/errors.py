"""User errors: what was given, what was expected, how to fix it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches


class CommandError(Exception):
    """An error that the user can fix."""

    exit_code = 2

    def __str__(self) -> str:
        """The message, which may quote a file or a name of someone else's."""
        return printable(super().__str__())


class Declined(CommandError):  # noqa: N818 - nothing went wrong
    """The user declined to write what was shown."""

    exit_code = 1


class Untrusted(CommandError):  # noqa: N818 - git's term
    """The repository belongs to another user; the message has git's own remedy."""


def printable(text: str) -> str:
    """Escape what a terminal would obey, what changes the direction, and bytes that aren't UTF-8.

    Tabs and newlines stay.
    """
    hostile = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    return re.sub(hostile, lambda match: ascii(match[0])[1:-1], text)


def nearest(word: str, names: Iterable[str], otherwise: str) -> str:
    """A hint with the most similar name, or another hint if none is similar."""
    matches = get_close_matches(word, list(names), n=1)
    return f"did you mean {matches[0]}?" if matches else otherwise
