# The template's: updates improve this file and keep your edits.
"""examples.csv: id, split, label, group and metadata of every example, for people and tools.

Nothing is learned from it, and the digest of the data leaves it out: see cache.py.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from ..protocols import Metadata, Split

FILE = "examples.csv"
COLUMNS = ("id", "split", "label", "group")
RESERVED = {*COLUMNS, "loss", "predicted", "confidence", "correct", "weight"}
"""Names that a column of metadata can't have, here or in a run's predictions.csv."""


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a table, header first, quoted as in RFC 4180; the file appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}")
    # A name that isn't valid Unicode, as file names may have, is escaped.
    with unfinished.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        csv.writer(file).writerows(rows)
    unfinished.replace(path)


class ExamplesWriter:
    """Writes one row after another, so that the data may be larger than the memory.

    Any example may bring a new name of metadata. The header is known only at the end, so the rows
    wait in a file of their own.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._rows = (folder / ".examples.jsonl").open("w+", encoding="utf-8")
        self._names: dict[str, None] = {}  # in the order in which they came

    def add(
        self, id_: str, split: Split, label: str | float, group: str, metadata: Metadata
    ) -> None:
        """Append the row of an example; an empty label is none."""
        self._names |= dict.fromkeys(metadata)
        cells = [id_, split, format_cell(label), group]
        known = {name: format_cell(value) for name, value in metadata.items()}
        self._rows.write(json.dumps([cells, known]) + "\n")

    def write(self) -> None:
        """Write the table."""
        header = [*COLUMNS, *_columns(self._names)]
        write_csv(self._path, chain([header], self._table()))

    def close(self) -> None:
        """Remove the file of rows."""
        self._rows.close()
        Path(self._rows.name).unlink()

    def _table(self) -> Iterator[list[str]]:
        self._rows.seek(0)
        for line in self._rows:
            cells, known = json.loads(line)
            yield [*cells, *(known.get(name, "") for name in self._names)]


def _columns(names: Collection[str]) -> Iterator[str]:
    """The column of each name of metadata: with an underscore where another column has the name."""
    taken = {*RESERVED, *names}
    for name in names:
        column = name
        while column in RESERVED or (column != name and column in taken):
            column += "_"
        taken.add(column)
        yield column


def format_cell(value: str | float) -> str:
    """A value as text, numbers with all of their digits; empty for NaN, a missing value."""
    return "" if value != value else str(value)


def read_metadata(folder: Path, split: Split) -> Iterator[list[str]]:
    """The names of the metadata columns, then the cells of each example of a split, in order."""
    csv.field_size_limit(2**31 - 1)  # of a cell: by default 128 KiB
    with (folder / FILE).open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        yield next(rows)[len(COLUMNS) :]
        for row in rows:
            if row[1] == split:
                yield row[len(COLUMNS) :]
