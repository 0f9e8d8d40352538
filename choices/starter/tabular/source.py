# Yours: an update never touches this file.
"""Where the records come from: a table, CSV or Parquet, whose columns are stated here.

To bring your own table, state its columns and name the file in `data.path`; any column can be the
one to predict (`data.target`). The table at hand ships with scikit-learn: 442 patients, ten
measurements of each, and how far their diabetes had progressed a year later (Efron et al., 2004,
https://doi.org/10.1214/009053604000000067).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from ..config import DataConfig
from ..protocols import Array, Record, Split, Unreadable
from .files import fingerprint_of
from .table import Categorical, Column, Numeric, Table, require_file, scan
from .validation import Schema, content

if TYPE_CHECKING:
    import polars as pl

COLUMNS: Mapping[str, Column] = {
    "age": Numeric(low=0, high=120, unit="years"),
    "sex": Categorical(values=("1", "2")),  # which is which isn't handed down
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
GROUP = ""  # a column whose equals stay in one split: a patient, a household
AT_HAND = "diabetes"


def schema(config: DataConfig) -> Schema:
    """What a record looks like: a float64 for each column, NaN where nothing is known.

    Every column keeps its place, whichever of them is to be predicted; that one is always NaN.

    Raises:
        DataError: `data.target` names no column, or one that can't be predicted.
    """
    return Schema(
        dtype="float64",
        shape=(len(COLUMNS),),
        low=-math.inf,  # each column has bounds of its own, which `read` holds it to
        high=math.inf,
        classes=_table(config).classes,
        missing=True,
    )


def read(config: DataConfig) -> Iterator[Record | Unreadable]:
    """Every row, one at a time, in bounded memory; all that is wrong with one is said.

    Raises:
        DataError: the file is missing or torn, or has other columns than those stated.
    """
    rows = at_hand() if config.path == AT_HAND else scan(Path(config.path))
    yield from _table(config).read(rows)


def split_of(record: Record, config: DataConfig) -> Split:
    """The split of a record, by its group or its content: new data moves nothing.

    Rows with the same inputs stay together, since one would give the other's answer away.
    """
    key = record.group.encode() if record.group else content(record.inputs)
    digest = hashlib.blake2b(key, digest_size=4).digest()
    share = int.from_bytes(digest, "big") / 2**32
    if share < config.test_fraction:
        return "test"
    return "validation" if share < config.test_fraction + config.validation_fraction else "train"


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the table does."""
    if config.path == AT_HAND:
        return f"scikit-learn {version('scikit-learn')}"
    file = require_file(Path(config.path))
    return fingerprint_of([file], file.parent, config.cache_dir)


def at_hand() -> pl.LazyFrame:
    """The table that ships with scikit-learn, under the names of its columns here."""
    import polars as pl
    from sklearn.datasets import load_diabetes

    given = load_diabetes(return_X_y=True, scaled=False)
    inputs, progression = cast("tuple[Array, Array]", given)
    table = pl.LazyFrame(np.column_stack([inputs, progression]), schema=list(COLUMNS))
    return table.with_columns(pl.col("sex").cast(pl.Int64))


def _table(config: DataConfig) -> Table:
    return Table(columns=COLUMNS, target=config.target, group=GROUP, file=config.path)
