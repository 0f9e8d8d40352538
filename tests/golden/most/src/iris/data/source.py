# Yours: an update never touches this file.
"""Where the records come from: a table with an id, four numbers and a label in each line.

To bring your own data, rewrite this file; everything else follows from its four functions. The
table that is here holds measurements of 150 irises (R. A. Fisher, 1936,
https://archive.ics.uci.edu/dataset/53).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator

import numpy as np

from ..config import DataConfig
from ..errors import DataError
from ..protocols import Metadata, Record, Split, Unreadable
from .validation import Schema, content

COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")  # centimetres
CLASSES = ("setosa", "versicolor", "virginica")


def schema(config: DataConfig) -> Schema:
    """What a sound record looks like."""
    return Schema(dtype="float32", shape=(len(COLUMNS),), low=0, high=20, classes=CLASSES)


def read(config: DataConfig) -> Iterator[Record | Unreadable]:
    """Every record, one at a time; what can't be read is given as `Unreadable`.

    Raises:
        DataError: the file is missing, or its columns are others than expected.
    """
    _require_file(config)
    with config.path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file)
        header, expected = next(rows, []), ["id", *COLUMNS, "label"]
        if header != expected:
            raise DataError(
                f"{config.path}: columns {', '.join(header) or '(none)'}; "
                f"expected {', '.join(expected)}"
            )
        for row in filter(None, rows):  # an empty line is nothing
            place = f"{config.path}, line {rows.line_num}"
            try:
                yield _record(row, str(config.path))
            except ValueError as error:
                yield Unreadable(place, str(error), str(config.path))


def _record(row: list[str], file: str) -> Record:
    if len(row) != len(COLUMNS) + 2:
        raise ValueError(f"{len(row)} cells, expected {len(COLUMNS) + 2}")
    name, *cells, label = row
    if not name.strip():
        raise ValueError("no id")
    if label not in CLASSES:
        raise ValueError(f"label {label!r}, expected one of {', '.join(CLASSES)}")
    values = np.array(cells, dtype=np.float32)
    metadata: Metadata = dict(zip(COLUMNS, map(float, cells), strict=True))
    return Record(name, values, CLASSES.index(label), file=file, metadata=metadata)


def split_of(record: Record, config: DataConfig) -> Split:
    """The split of a record, by its content: duplicates stay together, and new data moves nothing.

    Where records belong together (a patient, a speaker), derive it from what they share instead.
    """
    share = int.from_bytes(content(record.inputs)[:4], "big") / 2**32
    if share < config.test_fraction:
        return "test"
    return "validation" if share < config.test_fraction + config.validation_fraction else "train"


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the source does."""
    _require_file(config)
    with config.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require_file(config: DataConfig) -> None:
    if not config.path.is_file():
        raise DataError(
            f"data.path = '{config.path}': expected a file, and there is none; "
            "run from the project's folder, or name another with --data.path"
        )
