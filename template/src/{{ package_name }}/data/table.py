# The template's: updates improve this file and keep your edits.
"""A table, CSV or Parquet, as records: read in batches by polars, each checked by pandera.

Both are imported where they are needed: a run whose records are prepared doesn't wait for them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import DataError, unknown
from ..protocols import Array, Record, Unreadable

if TYPE_CHECKING:
    import pandera.polars as pandera
    import polars as pl

MISSING = ("", "NA", "NaN", "nan", "null")  # how a CSV file says that a cell is empty
ROWS = 8192  # of a batch: what is in memory at once
MARK = "\N{REPLACEMENT CHARACTER}"  # stands where a file isn't UTF-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeric:
    """A column of numbers, between bounds that no sound one exceeds."""

    low: float
    high: float
    unit: str = ""
    missing: bool = False  # whether a cell may be empty

    @property
    def expected(self) -> str:
        """What a sound cell holds, in words."""
        return f"a number from {self.low:g} to {self.high:g} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Categorical:
    """A column of names: one of those stated, or any text where none is."""

    low: ClassVar[float] = 0  # of what stands for a text: see `category`
    high: ClassVar[float] = 2**48
    values: tuple[str, ...] = ()
    missing: bool = False

    @property
    def expected(self) -> str:
        """What a sound cell holds, in words."""
        return f"one of {', '.join(self.values)}" if self.values else "text in UTF-8"


Column = Numeric | Categorical
NAME = Categorical()  # of a row, of a group: any text


@lru_cache(maxsize=2**16)
def category(text: str) -> float:
    """What stands for a text among numbers: 48 bits of its hash, which a float64 holds exactly.

    So a table with any number of categories streams through in one pass, and which of them the
    network tells apart is learned from the training split.
    """
    return float(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big"))


def require_file(path: Path) -> Path:
    """The path, if a table lies there. Raises DataError otherwise."""
    if path.suffix not in {".csv", ".parquet"} or not path.is_file():
        raise DataError(
            f"data.path = '{path}': expected a file that is there and ends in .csv or .parquet; "
            "run from the project's folder, or name another with --data.path"
        )
    return path


def scan(path: Path) -> pl.LazyFrame:
    """The table in a file, nothing of which is read yet.

    Raises:
        DataError: there is no such file.
    """
    import polars as pl

    if require_file(path).suffix == ".parquet":
        return pl.scan_parquet(path)
    # As text, with a mark for what isn't UTF-8: so whatever is wrong can be shown as it stands.
    return pl.scan_csv(path, infer_schema=False, encoding="utf8-lossy", null_values=list(MISSING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is to be read of a table, and as what."""

    columns: Mapping[str, Column]
    target: str  # the column to predict: its values, or the classes that it states
    group: str = ""  # a column whose equals stay in one split
    id: str = "id"  # a column that names the rows, if there is one; else their number does
    file: str = ""

    def __post_init__(self) -> None:
        if self.target not in self.columns:
            raise DataError(f"data.target: {unknown(self.target, list(self.columns), 'column')}")
        column = self.columns[self.target]
        if isinstance(column, Categorical) and len(column.values) < 2:
            raise DataError(
                f"data.target = '{self.target}': expected a column of at least two classes; "
                "state them as its values, in COLUMNS of data/source.py"
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes to predict; none where a number is."""
        column = self.columns[self.target]
        return column.values if isinstance(column, Categorical) else ()

    def read(self, table: pl.LazyFrame) -> Iterator[Record | Unreadable]:
        """Every row as a record, in order; each cell that is wrong as an `Unreadable`.

        Rows are counted from 1, the header not among them.

        Raises:
            DataError: the table is torn, or has other columns than those stated.
        """
        import polars as pl

        first, labels = 1, set[Any]()
        try:
            found = table.collect_schema().names()
            self._require_columns(found)
            checks = self._checks(found)
            for raw in table.collect_batches(chunk_size=ROWS, maintain_order=True, lazy=True):
                frame = self._typed(raw)
                yield from self._records(frame, self._problems(raw, frame, checks), first)
                first += len(frame)
                if len(labels) < 2:
                    labels.update(frame[self.target].drop_nulls().unique().head(2))
        except pl.exceptions.PolarsError as error:
            said, *_ = str(error).strip().splitlines()
            raise DataError(f"{self.file}: torn after row {first - 1} or later: {said}") from None
        if len(labels) == 1:
            problem = f"every row has {labels.pop()}: of one value alone nothing can be learnt"
            yield Unreadable(f"column {self.target}", problem, self.file)

    def _require_columns(self, found: list[str]) -> None:
        stated = [*self.columns, *filter(None, [self.group])]
        problems = [f"{name}: missing" for name in stated if name not in found]
        for name in found:
            first = name.partition("_duplicated_")[0]  # polars calls the second of two so
            if name not in {*stated, self.id}:
                twice = first != name and first in found
                problems.append(f"{first}: twice" if twice else unknown(name, stated, "column"))
        if problems:
            said = "; ".join(problems)
            raise DataError(f"{self.file}: {said}. COLUMNS in data/source.py states what is to be")

    def _typed(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Numbers as float64, the rest as text; what isn't known as null.

        What should be a number and isn't becomes infinite, which no bounds admit.
        """
        import polars as pl

        def cast(name: str) -> pl.Expr:
            if not isinstance(self.columns.get(name), Numeric):
                return pl.col(name).cast(pl.String)
            number = pl.col(name).cast(pl.Float64, strict=False)
            wrong = pl.col(name).is_not_null() & number.is_null()
            return pl.when(wrong).then(float("inf")).otherwise(number).fill_nan(None).alias(name)

        return raw.select(cast(name) for name in raw.columns)

    def _checks(self, found: list[str]) -> pandera.DataFrameSchema:
        """What each column has to hold; the target, the group and the id in every row."""
        import pandera.polars as pandera
        import polars as pl

        checks = dict[str, pandera.Column]()
        for name in found:
            column = self.columns.get(name, NAME)
            if isinstance(column, Numeric):
                kind, check = pl.Float64, pandera.Check.in_range(column.low, column.high)
            elif column.values:
                kind, check = pl.String, pandera.Check.isin(column.values)
            else:
                kind, check = pl.String, pandera.Check.str_matches(f"^[^{MARK}]*$")
            needed = not column.missing or name in {self.target, self.group, self.id}
            checks[name] = pandera.Column(kind, check, nullable=not needed)
        return pandera.DataFrameSchema(checks)

    def _problems(
        self, raw: pl.DataFrame, frame: pl.DataFrame, checks: pandera.DataFrameSchema
    ) -> dict[int, list[str]]:
        """What is wrong with the rows of a batch, by their place in it."""
        from pandera.errors import SchemaErrors

        problems: dict[int, list[str]] = {}
        try:
            checks.validate(frame, lazy=True)
        except SchemaErrors as error:
            cells = error.failure_cases.select("index", "column").unique(maintain_order=True)
            for row, name in cells.iter_rows():
                assert row is not None, "each check looks at cells, none at a whole column"
                cell, expected = raw[name][row], self.columns.get(name, NAME).expected
                said = f"{name} is missing" if frame[name][row] is None else f"{name} = {cell!r}"
                problems.setdefault(row, []).append(f"{said}: expected {expected}")
        return problems

    def _records(
        self, frame: pl.DataFrame, problems: Mapping[int, list[str]], first: int
    ) -> Iterator[Record | Unreadable]:
        """The rows of a batch, the first of which has this number."""
        cells = np.column_stack([_numbers(frame[name]) for name in self.columns])
        at = list(self.columns).index(self.target)
        inputs = [name for name in self.columns if name != self.target]
        truth = cells[:, at].copy()
        cells[:, at] = np.nan
        for place, row in enumerate(frame.iter_rows(named=True)):
            known = {name: value for name, value in row.items() if value is not None}
            if not known:  # an empty line is nothing
                continue
            name = f"row {first + place}"
            if place in problems:
                for problem in problems[place]:
                    yield Unreadable(name, problem, self.file)
                continue
            label = self.classes.index(row[self.target]) if self.classes else truth[place]
            yield Record(
                id=known.get(self.id, name),
                inputs=cells[place].copy(),
                label=float(label),
                group=known.get(self.group, ""),
                file=self.file,
                metadata={each: known.get(each, math.nan) for each in inputs},
            )


def _numbers(column: pl.Series) -> Array:
    """A column as float64, (rows,): NaN where nothing is known."""
    if column.dtype.is_numeric():
        return column.to_numpy()
    return np.array([np.nan if text is None else category(text) for text in column], dtype=float)
