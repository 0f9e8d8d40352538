"""User errors: what was given, what was expected, how to fix it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CommandError(Exception):
    """An error that the user can fix."""

    exit_code = 2


class Declined(CommandError):  # noqa: N818 - nothing went wrong
    """The user declined to write what was shown."""

    exit_code = 1


class Untrusted(CommandError):  # noqa: N818 - git's term
    """The repository belongs to another user; the message has git's own remedy."""


def nearest(word: str, names: Iterable[str], otherwise: str) -> str:
    """A hint with the most similar name, or another hint if none is similar."""
    matches = get_close_matches(word, list(names), n=1)
    return f"did you mean {matches[0]}?" if matches else otherwise
