# The template's: updates improve this file and keep your edits.
"""Reads the rows of a table as examples, in batches and bounded memory. Checks every cell."""

import codecs
import csv
import gzip
import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import polars as pl
from polars import selectors
from polars.exceptions import PolarsError

from ..errors import DataError, did_you_mean
from .validation import SPLIT_NAMES, Array, Example, Schema, Unreadable

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".parquet", ".xlsx")
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "-", "?")  # empty cells
LIMIT = 1e30  # of a number; the largest float32 is 3e38
BATCH_ROWS = 8192  # in memory at once
INDEX = ("", "Unnamed: 0", "__index_level_0__")  # names that pandas gives to its row numbers
ROW = "row number"  # a column that is added; 1 for the first row below the header
DATE_PARTS = ("year", "month", "day", "weekday", "hour")


def scan(path: Path, encoding: str = "utf-8") -> pl.LazyFrame:
    """The table in a file, which isn't read yet. Text stays text, so that errors can show it.

    Raises:
        DataError: there is no such file, or it can't be read as a table; the message says why.
    """
    suffix = path.suffix.lower()
    if not path.is_file() or not path.name.lower().endswith(SUFFIXES):
        raise DataError(f"{path}: expected an existing file that ends in {', '.join(SUFFIXES)}")
    try:
        if suffix == ".parquet":
            table = pl.scan_parquet(path, glob=False)
        elif suffix == ".xlsx":
            with ZipFile(path) as file:  # which may unpack to more than the memory
                if sum(part.file_size for part in file.infolist()) > 2**29:
                    raise DataError(f"{path}: unpacks to over 512 MiB; save it as CSV")
            table = pl.read_excel(path.read_bytes()).lazy()  # a path may be a pattern
        else:
            table = _scan_text(path, encoding)
        names = table.collect_schema().names()
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x} isn't {encoding}; set data.encoding"
        advice = f"(latin-1?), or: iconv -f latin1 -t utf-8 {path} > {path.stem}-utf8{suffix}"
        raise DataError(f"{path}: {byte} {advice}, or rename it if it is no text") from None
    except Exception as error:  # also of fastexcel, which is optional
        problem = DataError(f"{path}: can't be read: {one_line(error)}")
        raise (error if isinstance(error, DataError) else problem) from None

    # Spaces around a cell mean nothing, and there are many ways to say that there is none.
    table = table.rename({name: name.strip() for name in names})
    text = pl.col(pl.String, pl.Categorical, pl.Enum).cast(pl.String).str.strip_chars()
    filled = pl.when(~text.is_in(MISSING)).then(text)
    return table.with_columns(filled, selectors.float().fill_nan(None))


def _scan_text(path: Path, encoding: str) -> pl.LazyFrame:
    """The separator is what divides the first lines evenly; all bytes are checked."""
    with (gzip.open if path.suffix.lower() == ".gz" else open)(path, "rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            encoding = "utf-16"
        file.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)()
        parts = (decoder.decode(part) for part in iter(partial(file.read, 2**20), b""))
        text = next(parts, "").removeprefix("\ufeff")
        # Then the rest is only checked; but Polars takes no path that isn't UTF-8.
        is_utf8 = codecs.lookup(encoding).name == "utf-8" and str(path).isprintable()
        text += "".join(part for part in parts if not is_utf8)
    if "\0" in text or not text.strip():
        raise DataError(f"{path}: {'a binary file' if text.strip() else 'an empty file'}")

    lines = text[: 2**16].splitlines(keepends=True)
    lines = lines[:-1] or lines  # the last one may be cut
    samples = {mark: list(csv.reader(lines, delimiter=mark)) for mark in ",;\t|"}
    widths = {mark: [len(row) for row in rows if row] for mark, rows in samples.items()}
    is_even = {mark: {*cells} == {cells[0]} != {1} for mark, cells in widths.items()}
    mark = max(widths, key=lambda mark: (is_even[mark], widths[mark][0]))
    names, width = [*map(str.strip, samples[mark][0])], max(widths[mark])
    if width == 1:
        raise DataError(f"{path}: one column; expected cells separated by one of , ; | or a tab")
    if len(names) != width or all(re.fullmatch(r"[\d.]+", name) for name in names):
        advice = f"expected {width} column names in the first line"
        raise DataError(f"{path}: {advice}, got {lines[0][:50]!r}")
    if len({*names}) < len(names) and len(lines) > 1:
        raise DataError(f"{path}: two columns have the name {max(names, key=names.count)!r}")

    given = path if is_utf8 else text.encode()
    end = "\n" if "\n" in text else "\r"  # of lines, as on old Macs
    table = pl.scan_csv(given, separator=mark, infer_schema=False, glob=False, eol_char=end)
    # A comma is the decimal point of a file that has no decimal points.
    cells = "\n".join(cell for row in samples[mark] for cell in row)
    point, comma = (re.search(rf"(?m)^-?\d+{mark}\d+$", cells) for mark in (r"\.", ","))
    if mark != "," and comma and not point:
        table = table.with_columns(pl.all().str.replace(r"^(-?\d+),(\d+)$", "${1}.${2}"))
    return table


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def is_bounds(kind: Any) -> bool:
    """Whether a column's kind is the smallest and the largest number that are valid."""
    return not isinstance(kind, str) and not isinstance(kind[0], str)


def parse(name: str, kind: Any, dtype: pl.DataType) -> pl.Expr:
    """The cells of a column, converted; null for those that are missing or not of this kind."""
    cells = pl.col(name)
    if kind == "number" or is_bounds(kind):
        low, high = (-LIMIT, LIMIT) if kind == "number" else kind
        number = cells.cast(pl.Float64, strict=False)
        return pl.when(number.is_between(low, high)).then(number).alias(name)

    if str(kind).startswith("date") and not dtype.is_temporal():
        day = kind.removeprefix("date").strip() or "%Y-%m-%d"
        text = cells.str.replace("T", " ", literal=True).str.strip_suffix("Z")
        times = ("", " %H:%M:%S%.f", " %H:%M")  # with or without a time
        return pl.coalesce(text.str.to_datetime(day + t, strict=False) for t in times).alias(name)
    if str(kind).startswith("date"):
        return cells.cast(pl.Datetime)

    text = cells.cast(pl.String)
    return text if isinstance(kind, str) else pl.when(text.is_in(kind)).then(text).alias(name)


def expected(kind: Any) -> str:
    """What a cell of this kind has to be, for error messages."""
    if isinstance(kind, str):
        return f"a {kind}"
    if is_bounds(kind):
        return f"a number from {kind[0]:g} to {kind[1]:g}"
    return f"one of {', '.join(kind)}"


@lru_cache(maxsize=2**16)
def encode_category(name: str, text: str | None) -> float:
    """24 bits of the hash of a column's category, which float32 holds exactly: from 0 to below 1.

    So any number of categories can be read in one pass, without a list of them. Which ones the
    model distinguishes is learned from the training split.
    """
    digest = hashlib.blake2b(f"{name}\0{text}".encode(), digest_size=3).digest()
    return math.nan if text is None else int.from_bytes(digest, "big") / 2**24


def inputs_of(columns: Mapping[str, Any], target: str) -> dict[str, Any]:
    """The columns that are learned from, and their kinds."""
    return {
        name: kind
        for name, kind in columns.items()
        if name != target and not str(kind).startswith(("unused", "id"))
    }


def count_inputs(columns: Mapping[str, Any], target: str) -> int:
    """A date is as many numbers as it has parts."""
    kinds = inputs_of(columns, target).values()
    return sum(len(DATE_PARTS) if str(kind).startswith("date") else 1 for kind in kinds)


@dataclass(frozen=True, slots=True)
class Table:
    """How the rows of a table become examples.

    An input is a pair of float32: the number in a cell, and its category. NaN is what it hasn't; a
    missing cell has neither.
    """

    schema: Schema  # with the kind of each column: see COLUMNS in settings.py
    file: str  # for error messages
    target: str  # the column to predict
    group: str = ""  # a column of which equal cells share a split
    split: str = ""  # a column that names the split of each row

    def read(self, table: pl.LazyFrame, *, labeled: bool = True) -> Iterator[Example | Unreadable]:
        """The rows in order, each as an example, or as `Unreadable` with all its problems.

        Args:
            table: of `scan`.
            labeled: whether it has the columns of target, group and split. Rows without a target
                are then left out.

        Raises:
            DataError: the file is corrupt, or has other columns.
        """
        last_row = 0
        try:
            kinds = self._kinds(table.collect_schema().names(), labeled)
            empty_line = pl.all_horizontal(pl.exclude(ROW).is_null())
            rows = table.with_row_index(ROW, offset=1).filter(~empty_line).select(ROW, *kinds)
            if labeled:
                rows = rows.filter(pl.col(self.target).is_not_null())
            batches = rows.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True, lazy=True)
            for batch in batches:
                yield from self._examples(batch, kinds)
                last_row = batch[ROW].max() or last_row
        except PolarsError as error:
            message = f"can't be read, after row {last_row}: {one_line(error)}"
            raise DataError(f"{self.file}: {message}") from None

    def _kinds(self, names: list[str], labeled: bool) -> dict[str, Any]:
        """The columns that are read of a table with these names, and their kinds."""
        columns = self.schema.learned
        kinds = inputs_of(columns, self.target)
        if labeled:
            kinds[self.target] = columns[self.target]
            kinds |= {self.group: "category"} if self.group else {}
            kinds |= {self.split: list(SPLIT_NAMES)} if self.split else {}
        problems = [f"{name}: missing" for name in kinds if name not in names]
        unknown = [name for name in names if name not in columns and name not in INDEX]
        problems += [f"{name}: unknown column{did_you_mean(name, columns)}" for name in unknown]
        if problems:
            raise DataError(f"{self.file}: {'; '.join(problems)}")
        return kinds | {name: "category" for name in names if columns.get(name) == "id"}

    def _examples(
        self, batch: pl.DataFrame, kinds: Mapping[str, Any]
    ) -> Iterator[Example | Unreadable]:
        parsed = batch.select(parse(name, kind, batch[name].dtype) for name, kind in kinds.items())
        problems: dict[int, list[str]] = {}
        for name, kind in kinds.items():
            wrong = parsed[name].is_null()
            if name not in (self.group, self.split):
                wrong &= batch[name].is_not_null()
            for index in wrong.arg_true():
                cell = batch[name][index]
                given = f"{name} is missing" if cell is None else f"{name} = {cell!r:.100}"
                problems.setdefault(index, []).append(f"{given}: expected {expected(kind)}")

        # By column, before there is an object for each row.
        inputs = inputs_of(self.schema.learned, self.target)
        inputs_NC2 = np.concatenate([_pairs(parsed[name]) for name in inputs], axis=1)
        parsed = parsed.with_columns(selectors.temporal().cast(pl.String))
        parsed = parsed.with_columns(pl.col(pl.Float64).fill_null(math.nan))
        parsed = parsed.with_columns(pl.col(pl.String).fill_null(""))
        id_column = next((name for name in kinds if self.schema.learned[name] == "id"), "")
        class_index: dict[Any, int] = {name: n for n, name in enumerate(self.schema.classes)}
        for index, row in enumerate(parsed.iter_rows(named=True)):
            id_ = row.get(id_column) or f"row {batch[ROW][index]}"
            if index in problems:
                yield Unreadable(id_, "; ".join(problems[index]), self.file)
                continue
            yield Example(
                id=id_,
                inputs=inputs_NC2[index],
                target=class_index.get(row.get(self.target), row.get(self.target)),
                split=SPLIT_NAMES.get(row.get(self.split, ""), "test"),
                group=row.get(self.group, ""),
                file=self.file,
                metadata={name: row[name] for name in inputs},
            )


def _pairs(column: pl.Series) -> Array:
    """Number and category of each cell, (rows, inputs, 2)."""
    if column.dtype == pl.String:
        cells = [(math.nan, encode_category(column.name, text)) for text in column]
        return np.array(cells, dtype=np.float32)[:, None]
    numbers = column.to_numpy()[:, None]
    if column.dtype.is_temporal():
        numbers = np.stack([getattr(column.dt, part)() for part in DATE_PARTS], axis=1)
    return np.stack([numbers, np.full(numbers.shape, np.nan)], axis=2).astype(np.float32)
