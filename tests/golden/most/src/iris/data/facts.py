# The template's: updates improve this file and keep your edits.
"""The facts about the records, kept as columns on disk, so that results can be looked at by them.

Nothing is learnt from them, and a run's digest of its data leaves them out: see cache.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..protocols import SPLITS, Array, Facts, Indices, Split

INDEX = "facts.json"
FILES = {INDEX, *(f"{split}.facts" for split in SPLITS)}
ROWS = 4096  # of a split that are in memory at once while they are written
TEXTS = 10_000  # of a fact that are told apart: one may be as good as an id
OTHER = -1  # stands for those that came later


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact about each record of a split."""

    values: Array  # (N,), numbers or places in `texts`; NaN where nothing is known
    texts: tuple[str, ...] = ()  # none: it is a number

    def at(self, rows: Indices) -> Fact:
        """The same about these records only."""
        return replace(self, values=self.values[rows])


@dataclass(slots=True)
class _Column:
    """Gives numbers for values. A column of numbers takes a text as unknown."""

    texts: dict[str, int] = field(default_factory=dict[str, int])
    is_number: bool = False

    def __call__(self, value: float | str) -> float:
        if isinstance(value, str) and self.is_number:
            return math.nan
        if isinstance(value, str) or (self.texts and not math.isnan(value)):
            if len(self.texts) == TEXTS:
                return self.texts.get(str(value), OTHER)
            return self.texts.setdefault(str(value), len(self.texts))
        self.is_number = self.is_number or not math.isnan(value)
        return value


class FactsWriter:
    """Writes the facts about one record after another, in the order of the split's rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._columns: dict[str, _Column] = {}
        self._waiting: dict[Split, list[Facts]] = {split: [] for split in SPLITS}
        self._blocks: dict[Split, list[tuple[int, int]]] = {split: [] for split in SPLITS}

    def add(self, facts: Facts, split: Split) -> None:
        """Append those about one record; a name may be new, and one may lack."""
        self._waiting[split].append(facts)
        if len(self._waiting[split]) == ROWS:
            self._write(split)

    def _write(self, split: Split) -> None:
        rows = self._waiting[split]
        for name in dict.fromkeys(name for facts in rows for name in facts):
            self._columns.setdefault(name, _Column())
        columns = [
            [column(facts.get(name, math.nan)) for facts in rows]
            for name, column in self._columns.items()
        ]
        with (self._folder / f"{split}.facts").open("ab") as file:
            file.write(np.array(columns, dtype="<f8").tobytes())
        self._blocks[split].append((len(columns), len(rows)))
        rows.clear()

    def close(self) -> None:
        """Complete the files. There are none where no record has a fact."""
        for split in SPLITS:
            self._write(split)
        if not self._columns:
            for split in SPLITS:
                (self._folder / f"{split}.facts").unlink()
            return
        texts = {name: list(column.texts) for name, column in self._columns.items()}
        index = {"texts": texts, "blocks": self._blocks}
        (self._folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def read_facts(folder: Path, split: Split) -> Mapping[str, Fact]:
    """The facts about each record of a split, by their names; none in a cache from before 0.5."""
    if not (folder / INDEX).is_file():
        return {}
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    cells, shapes = np.fromfile(folder / f"{split}.facts", dtype="<f8"), index["blocks"][split]
    parts = np.split(cells, np.cumsum([columns * rows for columns, rows in shapes])[:-1])
    blocks = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    facts: dict[str, Fact] = {}
    for at, (name, texts) in enumerate(index["texts"].items()):
        found = [each[at] if at < len(each) else np.full(each.shape[1], np.nan) for each in blocks]
        facts[name] = Fact(np.concatenate(found), tuple(texts))
    return facts
