"""What a person can mend: one line that names what was given, what was expected, the way out."""

from __future__ import annotations


class CommandError(Exception):
    """Base of all of them. Nothing was written and nothing is lost when it is raised."""

    exit_code = 2


class Declined(CommandError):  # noqa: N818 - nothing went wrong
    """The person looked at what would be written, and said no."""

    exit_code = 1
