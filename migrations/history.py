"""What later versions of the template call otherwise: one line for each breaking change, for good.

Nothing that was once published may be renamed, moved or dropped without a line here: `__main__.py`
carries it into the projects that were made before. `tests/test_migrations.py` has one of each kind.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RenamedQuestion:
    """The answer that a project recorded goes on under the new name."""

    since: str  # the version that brought it
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedOption:
    """A project that chose it gets another, unless the update names one itself."""

    since: str
    question: str  # by its newest name
    option: str
    instead: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedFile:
    """What the owner wrote into the file goes with it, by a three-way merge.

    Paths are relative to the project's root; `{package_name}` and any other answer may stand in
    them.
    """

    since: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutFile:
    """A file that a project of this answer no longer has; what its owner changed stays.

    Copier leaves lying what a later version excludes, and can't tell it from what is the owner's.
    """

    since: str
    path: str  # as in MovedFile
    question: str
    answer: str


Migration = RenamedQuestion | RemovedOption | MovedFile | LeftOutFile

HISTORY: tuple[Migration, ...] = ()
"""Oldest first."""
