"""Errors that the user can fix: what was given, what was expected, how to fix it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CommandError(Exception):
    """Base of all of them."""

    exit_code = 2


class Declined(CommandError):  # noqa: N818 - nothing went wrong
    """The person looked at what would be written, and said no."""

    exit_code = 1


class Untrusted(CommandError):  # noqa: N818 - git's word for it
    """The repository belongs to another user; the message is git's own way out."""


def nearest(word: str, known: Iterable[str], otherwise: str) -> str:
    """The name that was probably meant, as a hint; or another hint where none is like it."""
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise
