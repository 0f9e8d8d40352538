"""Reads CSV files of the run format as columns of strings and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from ..errors import CommandError
from ..runs.run import read_bytes
from .statistics import Array

Columns = Mapping[str, pl.Series]  # by name, (N,)

MAX_CATEGORIES = 20  # of a column; rarer ones are pooled
MAX_CHARACTERS = 40  # of a cell in a table
OTHER, MISSING = "(other)", "(missing)"


def read_csv(path: Path, required: Iterable[str]) -> pl.DataFrame:
    """Read all columns as texts, so that a class named 007 keeps its name; an empty field is null.

    Raises:
        CommandError: it isn't such a file, or these columns aren't complete.
    """
    try:
        table = pl.read_csv(read_bytes(path), infer_schema=False)  # a name may be a pattern
        # Polars takes names such as * and ^x$ for patterns.
        table = table.rename(lambda name: name.lstrip("*^") or "unnamed")
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CommandError(f"{path}: {reason}; expected CSV, see docs/run-format.md") from None
    table = table.filter(~pl.all_horizontal(pl.all().is_null()))  # blank lines
    if table.is_empty():
        raise CommandError(f"{path}: no rows; expected one per example")
    for name in required:
        if name not in table.columns:
            given = ", ".join(table.columns)
            raise CommandError(f"{path}: no column {name}; expected it beside {given}")
        if table[name].has_nulls():
            row = (table[name].is_null().arg_max() or 0) + 1
            raise CommandError(f"{path}, row {row}: {name} is empty; expected a value in every row")
    return table


def read_numbers(table: pl.DataFrame, name: str, path: Path, low: float, high: float) -> Array:
    """A column that must be complete, finite and within limits, (N,)."""
    numbers = table[name].cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    wrong = ~(np.isfinite(numbers) & (numbers >= low) & (numbers <= high))
    if wrong.any():
        row = int(wrong.argmax())
        given, expected = table[name][row] or "empty", f"a finite number, {low:g} to {high:g}"
        raise CommandError(f"{path}, row {row + 1}: {name} is {given}; expected {expected}")
    return numbers


def parse(column: pl.Series) -> pl.Series:
    """The column as numbers (null if not finite) if it consists of numbers, else as it is."""
    numbers = column.cast(pl.Float64, strict=False)
    is_code = column.str.contains(r"^[+-]?0\d").any()  # 007 is a name
    if is_code or numbers.null_count() > column.null_count():
        return column
    return numbers.set(~numbers.is_finite().fill_null(False), None)


def shorten(column: pl.Series) -> pl.Series:
    """Shorten for a table: four digits of a number, the beginning of a long text."""
    numbers = parse(column)
    if numbers.dtype.is_numeric():
        return numbers.round_sig_figs(4).cast(pl.String).str.strip_suffix(".0")
    return column.str.head(MAX_CHARACTERS)


def categorize(column: pl.Series) -> pl.Series:
    """Reduce to at most MAX_CATEGORIES texts, (N,): the most frequent values, or quartiles."""
    texts = column.cast(pl.String)
    if column.dtype.is_numeric():
        texts = texts.str.strip_suffix(".0")
        if column.n_unique() > MAX_CATEGORIES:
            edges = np.unique(np.nanquantile(column.to_numpy(), (0, 0.25, 0.5, 0.75, 1)))
            names = pl.Series([f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)])
            quarters = np.searchsorted(edges[1:-1], column.to_numpy()).clip(max=len(names) - 1)
            texts = names[quarters].set(column.is_null(), None)
    frequent = texts.drop_nulls().value_counts(sort=True)[:, 0].head(MAX_CATEGORIES).to_list()
    rare = texts.is_not_null() & ~texts.is_in(frequent)
    return texts.set(rare, OTHER).fill_null(MISSING)
