# Yours: an update never touches this file.
"""Reads a table with an id, four numbers and a label per line.

To bring your own data, rewrite the four public functions; everything else follows from them. The
sample table has measurements of 150 irises (R. A. Fisher, 1936,
https://archive.ics.uci.edu/dataset/53).
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..settings import DataConfig
from .validation import Example, Schema, Unreadable, split_by_hash

COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")  # centimeters
CLASSES = ("setosa", "versicolor", "virginica")


def schema(config: DataConfig) -> Schema:
    return Schema(dtype="float32", shape=(len(COLUMNS),), low=0, high=20, classes=CLASSES)


def read(config: DataConfig) -> Iterator[Example | Unreadable]:
    """All examples, one at a time."""
    return _read_table(config.path, config, labeled=True)


def read_new(path: Path, config: DataConfig) -> Iterator[Example | Unreadable]:
    """New examples, for the command `predict`; a column with labels isn't needed."""
    return _read_table(path, config, labeled=False)


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the data change; the cache is named after it."""
    if not config.path.is_file():
        raise DataError(f"data.path = '{config.path}': no such file; expected a CSV file")
    status = config.path.stat()
    # ctime is new for a file that was replaced by one of the same size and mtime.
    return repr((str(config.path), status.st_size, status.st_mtime_ns, status.st_ctime_ns))


def _read_table(path: Path, config: DataConfig, *, labeled: bool) -> Iterator[Example | Unreadable]:
    required = ["id", *COLUMNS, "label"] if labeled else ["id", *COLUMNS]
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a CSV file")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        rows = csv.reader(file)
        csv.field_size_limit(2**31 - 1)  # of a cell; by default 128 KiB
        header = next(rows, [])
        if missing := [name for name in required if header.count(name) != 1]:
            columns = ", ".join(header) or "none"
            raise DataError(f"{path}: not one column {', '.join(missing)}; its columns: {columns}")
        for cells in filter(None, rows):  # without empty lines
            position = f"{path}, line {rows.line_num}"
            if len(cells) != len(header):
                yield Unreadable(position, f"{len(cells)} cells, expected {len(header)}", str(path))
                continue
            try:
                row = {name: cells[header.index(name)] for name in required}
                yield _example(row, config, str(path))
            except ValueError as error:
                yield Unreadable(position, str(error)[:200], str(path))


def _example(row: dict[str, str], config: DataConfig, file: str) -> Example:
    if not row["id"].strip():
        raise ValueError("no id")
    label = row.get("label")
    if label is not None and label not in CLASSES:
        raise ValueError(f"label {label!r}, expected one of {', '.join(CLASSES)}")

    # Equal inputs share a split. If examples belong together (a patient, a speaker), set `group`
    # and split by that instead.
    inputs = np.array([row[name] for name in COLUMNS], dtype=np.float32)
    split = split_by_hash(inputs.tobytes(), config.validation_fraction, config.test_fraction)
    return Example(
        id=row["id"],
        inputs=inputs,
        target=None if label is None else CLASSES.index(label),
        split=split,
        file=file,
        metadata={name: float(row[name]) for name in COLUMNS},
    )
