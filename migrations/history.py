"""Breaking changes between versions of the template, one entry each, kept forever.

A published question, option or file that is renamed, moved or removed needs an entry here, which
`__main__.py` applies to existing projects. `tests/test_migrations.py` tests each kind.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RenamedQuestion:
    """The recorded answer moves to the new name."""

    since: str  # the version that made the change
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedOption:
    """Projects with this option get another one, unless the update answers the question."""

    since: str
    question: str  # by its newest name
    option: str
    instead: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedFile:
    """The owner's changes move to the new path, by a three-way merge.

    Paths are relative to the project's root and may contain answers, such as `{package_name}`.
    """

    since: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutFile:
    """A file that projects with this answer no longer have, unless the owner changed it.

    Copier itself never deletes a file that a later version excludes.
    """

    since: str
    path: str  # as in MovedFile
    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedFile:
    """A file that the template no longer has. If the owner changed it, an update keeps it.

    Where it stays in any case, because an owner's file imports it, `copier.yml` excludes it.
    """

    since: str
    path: str  # as in MovedFile
    stays: bool = False


Migration = RenamedQuestion | RemovedOption | MovedFile | LeftOutFile | RemovedFile

HISTORY: tuple[Migration, ...] = (
    RemovedFile(since="0.7.0", path="src/{package_name}/eval/report.py"),
    RemovedFile(since="0.7.0", path="src/{package_name}/eval/baseline.py", stays=True),
    RemovedFile(since="0.7.0", path="src/{package_name}/data/table.py", stays=True),
)
"""Oldest first."""
