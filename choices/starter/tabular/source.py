# Yours: an update never touches this file.
"""Reads a table, CSV or Parquet, whose columns are listed here.

To bring your own table, list its columns in COLUMNS and name the file in `data.path`; any column
can be the target (`data.target`). The sample table is scikit-learn's: ten measurements of each of
442 patients, and how far their diabetes had progressed a year later (Efron et al., 2004,
https://doi.org/10.1214/009053604000000067).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

from ..settings import DataConfig
from .table import Categorical, Column, Numeric, Table, scan
from .validation import Example, Schema, Unreadable, split_by_hash

COLUMNS: Mapping[str, Column] = {
    "age": Numeric(low=0, high=120, unit="years"),
    "sex": Categorical(values=("1", "2")),  # the publication doesn't say which is which
    "bmi": Numeric(low=10, high=80, unit="kg/m²"),
    "blood_pressure": Numeric(low=30, high=200, unit="mmHg"),  # mean over a heartbeat
    "tc": Numeric(low=50, high=600, unit="mg/dl", missing=True),  # blood samples get lost
    "ldl": Numeric(low=10, high=500, unit="mg/dl", missing=True),
    "hdl": Numeric(low=5, high=200, unit="mg/dl", missing=True),
    "tch": Numeric(low=1, high=20, missing=True),  # tc / hdl
    "ltg": Numeric(low=1, high=10, missing=True),  # presumably the logarithm of triglycerides
    "glu": Numeric(low=20, high=600, unit="mg/dl", missing=True),
    "progression": Numeric(low=0, high=400),
}
GROUP = ""  # a column of which equal cells share a split, such as a patient or a household
SAMPLE = "diabetes"


def schema(config: DataConfig) -> Schema:
    """One float64 per column; each has its own bounds, which `Table.read` checks."""
    classes = _table(config, config.path).classes
    return Schema(
        dtype="float64",
        shape=(len(COLUMNS),),
        missing=True,
        classes=classes,
        target_dtype="int64" if classes else "float32",
    )


def read(config: DataConfig) -> Iterator[Example | Unreadable]:
    """All rows, one at a time, in bounded memory."""
    rows = sample_table() if config.path == SAMPLE else scan(Path(config.path))
    for example in _table(config, config.path).read(rows):
        if isinstance(example, Unreadable):
            yield example
            continue
        # Rows with equal inputs share a split, since one would give the other's target away.
        key = example.group.encode() or example.inputs.tobytes()
        split = split_by_hash(key, config.validation_fraction, config.test_fraction)
        yield replace(example, split=split)


def read_new(path: Path, config: DataConfig) -> Iterator[Example | Unreadable]:
    """New rows, for the command `predict`; the target's column may be missing."""
    return _table(config, str(path)).read(scan(path), labeled=False)


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the table changes; the cache is named after it."""
    if config.path == SAMPLE:
        return f"scikit-learn {version('scikit-learn')}"
    scan(Path(config.path))  # raises a DataError if there is no such file
    status = Path(config.path).stat()
    return repr((config.path, status.st_size, status.st_mtime_ns))


def sample_table() -> pl.LazyFrame:
    from sklearn.datasets import load_diabetes  # slow to import, and not needed with a cache

    inputs, progression = load_diabetes(return_X_y=True, scaled=False)
    table = pl.LazyFrame(np.column_stack([inputs, progression]), schema=list(COLUMNS))
    return table.with_columns(pl.col("sex").cast(pl.Int64))


def _table(config: DataConfig, file: str) -> Table:
    return Table(columns=COLUMNS, target=config.target, group=GROUP, file=file)
