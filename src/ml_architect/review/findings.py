"""What a review finds: rules, and the places where a project breaks them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum


class Category(IntEnum):
    """What a fault costs, the most costly first: the order of a report."""

    WRONG_RESULT = 1
    LOST_WORK = 2
    NOT_REPEATABLE = 3
    MEMORY_AND_SPEED = 4
    HYGIENE = 5


class Stage(IntEnum):
    """How mature a project is."""

    EXPLORATION = 1
    PROTOTYPE = 2
    PRODUCTION = 3


@dataclass(frozen=True)
class Rule:
    """One kind of fault, as its page in `pages` describes it."""

    id: str
    title: str
    category: Category
    stage: Stage
    """The first stage at which it is a finding; before it, it is a note."""
    why: str
    source: str
    """Address of the documentation, issue or measurement that `why` rests on."""
    fix: str
    verify: str
    bad: str
    """A short module in which the fault is found; empty if only `--run` finds it."""
    good: str
    """The same module without it."""
    lines_to_fix: int
    """Roughly; within a category the cheapest fix comes first."""
    is_default: bool
    """Whether it is on without being asked for."""
    ruff: str
    """Code of the rule of ruff that finds it, if it isn't a check of ours."""


@dataclass(frozen=True, order=True)
class Place:
    """A line of a file; lines and columns begin at 1, as editors count."""

    path: str
    """Relative to the project, with forward slashes."""
    line: int
    """Of a notebook: in its JSON file."""
    column: int = 1
    cell: int = 0
    """Of a notebook: number of the cell, and the line in it; else 0."""
    cell_line: int = 0

    def __str__(self) -> str:
        """As terminals and editors link it."""
        if self.cell:
            return f"{self.path}, cell {self.cell}, line {self.cell_line}"
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Finding:
    """A rule broken at one or more places for one cause."""

    rule: Rule
    places: tuple[Place, ...]
    message: str
    evidence: str
    """What was searched, so that a reader can judge an "is never done"."""
    scope: str = ""
    """Name of the enclosing function or class: part of its identity in a baseline."""
    is_note: bool = False
    """Whether it counts at no stage, since its code explores."""


def title(name: Category | Stage) -> str:
    """A category or stage in words."""
    return name.name.lower().replace("_", " ")


def count(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def listed(items: Iterable[object], most: int) -> str:
    """The first items, and how many more there are."""
    texts = [str(item) for item in items]
    return ", ".join(texts[:most]) + f" and {len(texts) - most} more" * (len(texts) > most)
