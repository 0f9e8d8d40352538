# Yours: an update never touches this file.
"""Reads a table: CSV, Parquet or Excel.

To bring your own, name the file in `data.path` and the column to predict in `data.target`, in
settings.py. How each column is read is inferred here, unless COLUMNS in settings.py states it. The
sample table is scikit-learn's: ten measurements of each of 442 patients, and how far their diabetes
had progressed a year later (Efron et al., 2004, https://doi.org/10.1214/009053604000000067).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import DataError, did_you_mean
from ..settings import COLUMNS, DataConfig
from .tabular import INDEX, LIMIT, Table, count_inputs, is_bounds, one_line, parse, scan
from .validation import Example, Schema, Unreadable, split_by_hash

SAMPLE = "diabetes"
MAX_CLASSES = 10  # whole numbers to predict are classes if there are no more distinct ones
DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")  # the first that fits
ID = "unused: an id, a different number in each row"
_schemas: dict[str, Schema] = {}  # inferred by this process


def schema(config: DataConfig) -> Schema:
    """With the kind of each column. It is stored with each run, to read new rows alike."""
    key = f"{config!r} {fingerprint(config)}"
    if key not in _schemas:
        try:
            _schemas[key] = _schema(config)
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{config.path}: can't be read: {one_line(error)}") from None
    return _schemas[key]


def read(config: DataConfig) -> Iterator[Example | Unreadable]:
    """All rows, one at a time, in bounded memory."""
    table = Table(schema(config), config.path, config.target, config.group, config.split)
    for example in table.read(open_table(config)):
        if isinstance(example, Example) and not config.split:
            # Rows with equal inputs share a split, since one would give the other's target away.
            key = example.group.encode() or example.inputs.tobytes()
            split = split_by_hash(key, config.validation_fraction, config.test_fraction)
            example = replace(example, split=split)
        yield example


def read_new(
    path: Path, config: DataConfig, trained: Schema | None = None
) -> Iterator[Example | Unreadable]:
    """New rows, for the command `predict`; the target's column may be missing.

    Args:
        path: of the new table.
        config: how the training data was read.
        trained: the schema of a run; without it, the training data is looked at again.
    """
    table = Table(trained or schema(config), str(path), config.target)
    return table.read(scan(path, config.encoding), labeled=False)


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the table changes, or COLUMNS; the cache is named after it."""
    files = [Path(name) for name in (config.path, config.split) if Path(name).is_file()]
    status = [(str(path), path.stat()) for path in files]
    # ctime is new for a file that was replaced by one of the same size and mtime.
    states = [(path, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in status]
    return repr((COLUMNS, version("scikit-learn"), states))


def open_table(config: DataConfig) -> pl.LazyFrame:
    """The rows, which aren't read yet; with a column of their splits, if these are in a file."""
    rows = sample_table() if config.path == SAMPLE else scan(Path(config.path), config.encoding)
    names = rows.collect_schema().names()
    if config.split in ("", *names):
        return rows
    if "id" not in names or not Path(config.split).is_file():
        near = did_you_mean(config.split, names)
        expected = "expected a column, or a table of id and split for a table with an id"
        raise DataError(f"data.split = {config.split!r}: {expected}{near}")
    id_, split = pl.col("id").cast(pl.String), pl.col("split").alias(config.split)
    splits = scan(Path(config.split)).select(id_, split)
    return rows.with_columns(id_).join(splits, on="id", how="left", maintain_order="left")


def sample_table() -> pl.LazyFrame:
    from sklearn.datasets import load_diabetes  # slow to import, and not needed with a cache

    inputs, progression = load_diabetes(return_X_y=True, scaled=False)
    names = ["age", "sex", "bmi", "blood_pressure", "tc", "ldl", "hdl", "tch", "ltg", "glu"]
    table = pl.LazyFrame(inputs, schema=names).with_columns(progression=pl.Series(progression))
    return table.with_columns(pl.col("sex").cast(pl.Int64).cast(pl.String))


def _schema(config: DataConfig) -> Schema:
    rows = open_table(config)
    names = [name for name in rows.collect_schema().names() if name in (COLUMNS or [name])]
    for setting, name in (("target", config.target), ("group", config.group)):
        if name and name not in names:
            raise DataError(f"data.{setting} = {name!r}: no such column{did_you_mean(name, names)}")

    columns, notes = infer(rows, config) if not COLUMNS else (dict(COLUMNS), list[str]())
    columns |= {name: "unused: for the split" for name in (config.group, config.split) if name}
    unlabeled = rows.select(pl.col(config.target).is_null().sum()).collect().item()
    if unlabeled:
        notes.append(f"{unlabeled} rows without {config.target} are left out.")

    kind = columns[config.target]
    classes = () if isinstance(kind, str) or is_bounds(kind) else tuple(kind)
    if isinstance(kind, str) and kind != "number":
        advice = "expected a number, or a list of classes in COLUMNS of settings.py"
        raise DataError(f"data.target = {config.target!r}: {kind}; {advice}")
    if (width := count_inputs(columns, config.target)) == 0:
        raise DataError(f"{config.path}: no column is left to learn from: {columns}")
    predicted = "the most probable class (of two, the one above 0.5)" if classes else "a number"
    notes.append(f"Of {config.target}, {predicted} is predicted; see data.task.")
    return Schema(
        dtype="float32",
        shape=(width, 2),
        low=-LIMIT,
        high=LIMIT,
        missing=True,
        classes=classes,
        target_dtype="int64" if classes else "float32",
        learned=columns,
        notes=tuple(notes),
    )


def infer(rows: pl.LazyFrame, config: DataConfig) -> tuple[dict[str, Any], list[str]]:
    """The kinds of the columns, and a block of them to paste into settings.py.

    All rows are looked at, those of the test split too; but only the kinds, and the classes of the
    target, are kept. What else the model knows, it learns from the training split alone.
    """
    head = rows.head(1000).collect()
    if head.is_empty():
        raise DataError(f"{config.path}: no row below the names of the columns")
    facts = rows.select(_facts(column) for column in head)
    columns: dict[str, Any] = {}
    block = [
        "How columns are read; to change it, paste this into settings.py:",
        "COLUMNS: dict[str, Any] = {",
    ]
    for name, fact in facts.collect(engine="streaming").row(0, named=True).items():
        kind, remark = _kind(name, fact), f"{fact['distinct']} values"
        if kind == "number":
            remark = f"{fact['low']:g} to {fact['high']:g}"
        if name == config.target:
            kind = "number" if kind == ID else kind
            few = fact["whole"] and fact["distinct"] <= MAX_CLASSES
            is_class = kind == "category" or (kind == "number" and few)
            if config.task == "classification" or (config.task == "auto" and is_class):
                order = pl.col(name).cast(pl.Float64, strict=False), pl.col(name)
                values = rows.select(pl.col(name).cast(pl.String).drop_nulls().unique())
                kind = values.sort(*order).collect()[name].to_list()
            remark = f"the target, {remark}"
        missing = f", {1 - fact['count'] / fact['total']:.1%} missing"
        remark += missing if fact["count"] < fact["total"] else ""
        columns[name] = kind
        line = f"    {name!r}: {kind!r},"  # in the quotes that ruff prefers, where it can be
        block.append((line if '"' in line else line.replace("'", '"')) + f"  # {remark}")
    return columns, [*block, "}"]


def _facts(sample: pl.Series) -> pl.Expr:
    """What decides the kind of a column, of which these are the first cells."""
    name, dtype = sample.name, sample.dtype
    date = "date" if dtype.is_temporal() else ""
    if dtype == pl.String and sample.cast(pl.Float64, strict=False).count() < sample.count():
        for day in reversed(DATES):
            valid = sample.to_frame().select(parse(name, f"date {day}", dtype).count()).item()
            date = f"date {day}" if valid >= 0.99 * sample.count() else date
    cells, number = pl.col(name), parse(name, "number", dtype)
    return pl.struct(
        total=pl.len(),
        count=cells.count(),
        distinct=cells.drop_nulls().n_unique(),
        numbers=number.count(),
        low=number.min(),
        high=number.max(),
        whole=(number == number.round()).all(),
        codes=cells.cast(pl.String).str.contains(r"^0\d").any(),  # 007 isn't 7
        date=pl.lit(date),
        dates=parse(name, date, dtype).count(),
    ).alias(name)


def _kind(name: str, fact: Mapping[str, Any]) -> str:
    """A few cells that don't fit are no reason for another kind: `validate` lists them."""
    count, distinct, total = fact["count"], fact["distinct"], fact["total"]
    if name in INDEX:
        return "unused: pandas' row numbers"
    if distinct < 2 and count in (0, total):
        return "unused: all cells are equal" if count else "unused: no cell has a value"
    if name.lower() == "id" and distinct >= 0.99 * total:
        return "id"
    if fact["date"] and fact["dates"] >= 0.99 * count:
        return fact["date"]
    if fact["numbers"] >= 0.99 * count and not fact["codes"]:
        is_dense = name.lower().endswith("id") or fact["high"] - fact["low"] < 2 * total
        return ID if fact["whole"] and distinct == total and is_dense else "number"
    return "category" if 2 * distinct <= count else f"unused: text with {distinct} values"
