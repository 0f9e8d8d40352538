# pyright: reportUnknownMemberType=false
"""`ml-architect report data`: distributions, drift and near-duplicates of each split."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from rich.console import Console

from ..errors import CommandError, nearest, printable
from ..runs.plot import drawable
from .duplicates import find_duplicates
from .page import bullets, gallery, image, paragraph, plot, section, table, write_page
from .statistics import Array, format_p, holm, stats
from .tables import MISSING, Columns, categorize, parse, read_csv

SPLITS = ("train", "validation", "test")
MAX_P_VALUE = 0.01  # after correction; low, since every report has many comparisons
MIN_EFFECT = 0.1  # of 1: smaller differences between splits aren't reported
MIN_EXPECTED = 5  # examples to compare; rarer categories are pooled for the chi-square test
MAX_IMBALANCE = 5  # ratio of the largest to the smallest class
MAX_CLASSES = 50  # of integer labels; more are numbers, not classes
MAX_FIGURES = 24
MAX_BARS = 10
MAX_ROWS = 40  # of a table


class Drift(NamedTuple):
    """Difference of a column between a held-out split and train."""

    column: str
    split: str
    effect: float  # 0 to 1: Kolmogorov-Smirnov statistic, or total variation distance
    p_value: float  # adjusted for the number of comparisons

    @property
    def is_notable(self) -> bool:
        """Whether it is both large and significant."""
        return self.effect >= MIN_EFFECT and self.p_value < MAX_P_VALUE


def report_data(root: Path, folder: Path | None, output: Path | None, console: Console) -> None:
    """Write the report, and print its warnings.

    Args:
        root: of the project.
        folder: with an examples.csv; the newest below data/cache if None.
        output: HTML file; runs/data.html if None.
        console: for the summary.

    Raises:
        CommandError: there is no examples.csv, or it isn't as documented.
    """
    cache = root / "data" / "cache"
    paths = cache.glob("[!.]*/examples.csv") if folder is None else folder.glob("examples.csv")
    path = max(paths, key=lambda path: path.stat().st_mtime, default=None)
    if path is None:
        raise CommandError(f"{folder or cache}: no examples.csv; first: COMMAND validate")
    examples = read_csv(path, required=("id", "split"))
    for split in examples["split"].unique().sort():
        if split not in SPLITS:
            hint = nearest(split, SPLITS, f"expected {', '.join(SPLITS)}")
            raise CommandError(f"{path}: {split}: no such split; {hint}")

    # The inputs are a file per split, so order the examples by split.
    examples = examples.sort(pl.col("split").cast(pl.Enum(SPLITS)), maintain_order=True)
    splits = examples["split"]
    names = [name for name in examples.columns if name not in ("id", "split", "group")]
    columns = {name: parse(examples[name]) for name in names}
    if "label" in columns and _has_classes(examples["label"]):
        columns["label"] = examples["label"]

    warnings: list[str] = []
    sizes = [(split, str((splits == split).sum())) for split in splits.unique(maintain_order=True)]
    sections = [
        section("Splits", table(sizes, ("split", "examples"))),
        section("Class balance", _class_balance(columns.get("label"), splits, warnings)),
        section("Distributions", _distributions(columns, splits)),
        section("Drift", _drift(columns, splits, warnings)),
        section("Missing values", _missing(columns, splits)),
        section("Near-duplicates", _duplicates(path.parent, examples, warnings)),
    ]
    sections.insert(0, section("Warnings", bullets(warnings or ["None."])))
    output = output or root / "runs" / "data.html"
    write_page(output, "Data", f"{len(examples)} examples in {path.parent}", sections)
    for text in (*warnings, f"report: {output}"):
        console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def _has_classes(label: pl.Series) -> bool:
    """Whether the labels are names, or at most MAX_CLASSES integers."""
    are_integers = label.drop_nulls().str.contains(r"^-?\d+$").all()
    return not parse(label).dtype.is_numeric() or (are_integers and label.n_unique() <= MAX_CLASSES)


def _count(column: pl.Series, splits: pl.Series) -> pl.DataFrame:
    """Value counts: one column per split, the most frequent value first."""
    frame = pl.DataFrame({"value": column, "split": splits}).drop_nulls()
    present = splits.unique(maintain_order=True)
    counts = frame.group_by("value").agg(
        (pl.col("split") == split).sum().alias(split) for split in present
    )
    return counts.sort(pl.sum_horizontal(present.to_list()), "value", descending=[True, False])


def _class_balance(label: pl.Series | None, splits: pl.Series, warnings: list[str]) -> str:
    if label is None or label.dtype.is_numeric() or label.is_null().all():
        return paragraph("No classes.")
    counts = _count(label, splits)
    for split in counts.columns[1:]:
        ascending = counts.sort(split, maintain_order=True)["value", split]
        (rare, min_count), (frequent, max_count) = ascending.row(0), ascending.row(-1)
        if max_count > MAX_IMBALANCE * min_count:
            text = f"{max_count} examples of {frequent}, {min_count} of {rare}"
            warnings.append(f"class imbalance in {split}: {text}")
    rows = counts.head(MAX_ROWS).cast(pl.String).iter_rows()
    return table(rows, ("class", *counts.columns[1:]))


def _distributions(columns: Columns, splits: pl.Series) -> str:
    """One figure per column, of fractions, so that splits of different sizes are comparable."""
    figures: list[str] = []
    for name, column in list(columns.items())[:MAX_FIGURES]:
        figure, axes = plot(name)
        if column.dtype.is_numeric() and column.n_unique() > MAX_BARS:
            # Clip to quantiles, since one outlier would put all other values into one bin.
            low, high = np.nanquantile(column.to_numpy(), (0.005, 0.995)).tolist()
            smallest = min(splits.value_counts()["count"].to_list())
            bins = int(np.clip(np.sqrt(smallest), 5, 30))  # more would show noise
            for split in splits.unique(maintain_order=True):
                values = column.filter(splits == split).drop_nulls().to_numpy().clip(low, high)
                counts, edges = np.histogram(values, bins=bins, range=(low, high))
                axes.stairs(counts / max(1, len(values)), edges, label=split)
        else:
            counts = _count(categorize(column), splits).head(MAX_BARS)
            positions = np.arange(len(counts))
            for number, split in enumerate(counts.columns[1:]):
                fractions = counts[split] / (splits == split).sum()
                axes.barh(positions + number / 4, fractions, height=0.25, label=split)
            names = [drawable(name) for name in counts["value"].str.head(16)]
            axes.set_yticks(positions + 0.25, names, parse_math=False)
            axes.invert_yaxis()
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        figures.append(image(figure, f"Distribution of {name} in each split"))
    return paragraph(f"{len(figures)} of {len(columns)} columns.") + gallery(figures)


def find_drift(columns: Columns, splits: pl.Series) -> list[Drift]:
    """Compare each column, and its missing values, in each held-out split with train."""
    missing = {f"{name} missing": columns[name].is_null().cast(pl.String) for name in columns}
    results: list[Drift] = []
    for name, column in {**columns, **missing}.items():
        counts = _count(categorize(column), splits).filter(pl.col("value") != MISSING)
        for split in counts.columns[1:]:
            if split == "train" or "train" not in counts.columns:
                continue
            if column.dtype.is_numeric():
                samples = [column.filter(splits == side).drop_nulls() for side in ("train", split)]
                if min(map(len, samples)) >= MIN_EXPECTED:
                    test = stats.ks_2samp(*samples, method="asymp")
                    results.append(Drift(name, split, test.statistic, test.pvalue))
                continue
            common = _pool_rare(counts["train", split].to_numpy())
            if len(common) > 1:
                fractions = common / common.sum(axis=0)
                distance = np.abs(fractions[:, 0] - fractions[:, 1]).sum() / 2
                test = stats.chi2_contingency(common)
                results.append(Drift(name, split, distance, test.pvalue))
    adjusted = holm([result.p_value for result in results])
    return [result._replace(p_value=p) for result, p in zip(results, adjusted, strict=True)]


def _pool_rare(counts: Array) -> Array:
    """Pool the categories, (C, 2), that are too rare for a chi-square test."""
    expected = counts.sum(axis=1) * counts.sum(axis=0).min() / max(1, counts.sum())
    rare = expected < MIN_EXPECTED
    pooled = np.vstack([counts[~rare], counts[rare].sum(axis=0)])
    return pooled[pooled.sum(axis=1) > 0]


def _drift(columns: Columns, splits: pl.Series, warnings: list[str]) -> str:
    results = find_drift(columns, splits)
    notable = [result for result in results if result.is_notable]
    for name, split, effect, _ in notable:
        warnings.append(f"drift: {name} differs between train and {split} by {effect:.2f} of 1")
    text = (
        f"{len(results)} comparisons with train. Listed are differences of at least {MIN_EFFECT} "
        "(Kolmogorov-Smirnov statistic of numbers, total variation distance of categories) that "
        f"are significant at a level of {MAX_P_VALUE} after Holm's correction."
    )
    rows = [(name, split, f"{effect:.2f}", format_p(p)) for name, split, effect, p in notable]
    return paragraph(text) + table(rows, ("column", "split", "difference", "p") if rows else ())


def _missing(columns: Columns, splits: pl.Series) -> str:
    missing = pl.DataFrame({"": splits, **{name: columns[name].is_null() for name in columns}})
    fractions = missing.group_by("", maintain_order=True).mean()
    names = [name for name, column in columns.items() if column.has_nulls()]
    rows = [(name, *(f"{value:.1%}" for value in fractions[name])) for name in names]
    return table(rows, ("column", *fractions[""])) if rows else paragraph("None.")


def _duplicates(folder: Path, examples: pl.DataFrame, warnings: list[str]) -> str:
    splits, ids = examples["split"], examples["id"]
    sizes = {split: int((splits == split).sum()) for split in splits.unique(maintain_order=True)}
    partners = find_duplicates(folder, sizes)
    if partners is None:
        return paragraph(f"Not looked for, since {folder} has no inputs.")
    counts: list[tuple[str, ...]] = []
    pairs: list[tuple[str, ...]] = []
    for number, split in enumerate(sizes):
        duplicates = (splits == split).to_numpy()[:, None] & (partners >= 0)
        counts.append((split, *map(str, duplicates.sum(axis=0))))
        for column, other in list(enumerate(sizes))[:number]:  # each pair of splits once
            rows = np.flatnonzero(duplicates[:, column])
            if len(rows) > 0:
                text = f"{len(rows)} of {sizes[split]} {split} examples have one in {other}"
                warnings.append(f"near-duplicates: {text}")
            # List one example of each group, since there may be a hundred blank images.
            different, firsts = np.unique(partners[rows, column], return_index=True)
            names = zip(ids[rows[firsts]], ids[different], strict=True)
            pairs += [(f"{name} ({split})", f"{partner} ({other})") for name, partner in names]
    text = "Examples of a split (row) that have a near-duplicate in a split (column):"
    header = ("example", "near-duplicate") if pairs else ()
    return paragraph(text) + table(counts, ("", *sizes)) + table(pairs[:MAX_ROWS], header)
