# The template's: updates improve this file and keep your edits.
"""Reads a table, CSV or Parquet, as examples: in batches, in bounded memory. Checks every cell."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

from ..errors import DataError, did_you_mean
from .validation import Array, Example, Unreadable

MISSING = ("", "NA", "NaN", "nan", "null")  # how a CSV file marks an empty cell
BATCH_ROWS = 8192  # in memory at once
ROW = "row number"  # a column that is added; 1 for the first row below the header
NOT_UTF8 = "\N{REPLACEMENT CHARACTER}"  # what polars puts in place of invalid bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """A column of numbers. A cell outside the bounds is an error."""

    low: float
    high: float
    unit: str = ""
    missing: bool = False  # whether cells may be empty

    @property
    def expected(self) -> str:
        return f"a number from {self.low:g} to {self.high:g} {self.unit}".rstrip()

    def parse(self, name: str) -> pl.Expr:
        """The cells as float64; null for those that aren't valid."""
        number = pl.col(name).cast(pl.Float64, strict=False)
        return pl.when(number.is_between(self.low, self.high)).then(number).alias(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Categorical:
    """A column of names: one of the given values, or any text if none are given."""

    low: ClassVar[float] = 0  # bounds of `encode_category`
    high: ClassVar[float] = 2**48
    values: tuple[str, ...] = ()
    missing: bool = False

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.values)}" if self.values else "text in UTF-8"

    def parse(self, name: str) -> pl.Expr:
        """The cells as text; null for those that aren't valid."""
        text = pl.col(name).cast(pl.String, strict=False)
        valid = text.is_in(self.values) if self.values else ~text.str.contains(NOT_UTF8)
        return pl.when(valid).then(text).alias(name)


Column = Numeric | Categorical


@lru_cache(maxsize=2**16)
def encode_category(text: str) -> float:
    """48 bits of the text's hash, which a float64 holds exactly.

    So any number of categories can be read in one pass, without a list of them. Which ones the
    model distinguishes is learned from the training split.
    """
    return float(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big"))


def scan(path: Path) -> pl.LazyFrame:
    """The table in a file, which isn't read yet.

    Raises:
        DataError: there is no such file.
    """
    if path.suffix not in {".csv", ".parquet"} or not path.is_file():
        raise DataError(f"{path}: expected an existing file that ends in .csv or .parquet")
    if path.suffix == ".parquet":
        return pl.scan_parquet(path)
    # As text, so that error messages can show an invalid cell as it is in the file.
    return pl.scan_csv(path, infer_schema=False, encoding="utf8-lossy", null_values=list(MISSING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How the rows of a table become examples.

    Inputs have one float64 per column; NaN is a missing value. The target's is always NaN, so that
    every column keeps its place, whichever is predicted.
    """

    columns: Mapping[str, Column]
    target: str  # the column to predict
    group: str = ""  # a column of which equal cells share a split
    file: str = ""  # for error messages

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty if the target is a number.

        Raises:
            DataError: the target isn't a column, or doesn't list its classes.
        """
        setting, column = f"data.target = {self.target!r}", self.columns.get(self.target)
        if column is None:
            near = did_you_mean(self.target, self.columns)
            raise DataError(f"{setting}: not in COLUMNS of data/source.py{near}")
        if isinstance(column, Numeric):
            return ()
        if len(column.values) < 2:
            message = "expected two or more classes; list them in COLUMNS of data/source.py"
            raise DataError(f"{setting}: {message}")
        return column.values

    def read(self, table: pl.LazyFrame, *, labeled: bool = True) -> Iterator[Example | Unreadable]:
        """The rows in order, each as an example, or as `Unreadable` with all its problems.

        Args:
            table: of `scan`.
            labeled: whether it has the target's column and, if there is one, the group's.

        Raises:
            DataError: the file is corrupt, or has other columns.
        """
        last_row = 0
        try:
            columns = self._columns_of(table.collect_schema().names(), labeled)
            rows = table.select(list(columns)).with_columns(pl.selectors.float().fill_nan(None))
            empty_line = pl.all_horizontal(pl.exclude(ROW).is_null())
            rows = rows.with_row_index(ROW, offset=1).filter(~empty_line)
            batches = rows.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, lazy=True)
            for batch in batches:
                yield from self._examples(batch, columns)
                last_row = batch[ROW].max() or last_row
        except pl.exceptions.PolarsError as error:
            reason, *_ = str(error).strip().splitlines()
            message = f"{self.file}: can't be read, after row {last_row}: {reason}"
            raise DataError(message) from None

    def _columns_of(self, names: list[str], labeled: bool) -> dict[str, Column]:
        """The columns that are read of a table with these names."""
        expected = {"id": Categorical(), self.group or "id": Categorical(), **self.columns}
        optional = {"id"} if labeled else {"id", self.group, self.target}
        problems = [f"{name}: missing" for name in expected if name not in {*names, *optional}]
        for name in names:
            if name not in expected:
                problems.append(f"{name}: unknown column{did_you_mean(name, expected)}")
        if problems:
            text = "; ".join(problems)
            raise DataError(f"{self.file}: {text} (expected: COLUMNS in data/source.py)")
        return {name: expected[name] for name in names if labeled or name != self.target}

    def _examples(
        self, batch: pl.DataFrame, columns: Mapping[str, Column]
    ) -> Iterator[Example | Unreadable]:
        parsed = batch.select(column.parse(name) for name, column in columns.items())
        problems: dict[int, list[str]] = {}
        for name, column in columns.items():
            wrong = parsed[name].is_null()
            if column.missing and name not in (self.target, self.group):
                wrong &= batch[name].is_not_null()
            for index in wrong.arg_true():
                cell = batch[name][index]
                given = f"{name} is missing" if cell is None else f"{name} = {cell!r}"
                problems.setdefault(index, []).append(f"{given}: expected {column.expected}")

        names = [name for name in self.columns if name != self.target]
        inputs = np.full((len(batch), len(self.columns)), np.nan)
        for name in names:
            inputs[:, list(self.columns).index(name)] = _to_numbers(parsed[name])

        for index, row in enumerate(parsed.iter_rows(named=True)):
            id_ = row.get("id") or f"row {batch[ROW][index]}"
            if index in problems:
                yield Unreadable(id_, "; ".join(problems[index]), self.file)
                continue
            target = row.get(self.target)
            yield Example(
                id=id_,
                inputs=inputs[index],
                target=self.classes.index(target) if isinstance(target, str) else target,
                group=str(row.get(self.group) or ""),
                file=self.file,
                metadata={name: math.nan if row[name] is None else row[name] for name in names},
            )


def _to_numbers(column: pl.Series) -> Array:
    """As float64, (rows,): NaN for missing values, `encode_category` of text."""
    if column.dtype.is_numeric():
        return column.to_numpy()
    return np.array([math.nan if text is None else encode_category(text) for text in column])
