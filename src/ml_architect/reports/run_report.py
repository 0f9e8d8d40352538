# pyright: reportUnknownMemberType=false
"""`ml-architect report RUN`: analyzes one run's predictions on the test split."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console

from ..errors import CommandError, nearest, printable
from ..runs.plot import drawable
from ..runs.run import Run, flatten
from .calibration import calibrate, draw_calibration
from .page import gallery, image, paragraph, plot, section, table, write_page
from .predictions import RESERVED, Predictions, read_predictions
from .slices import MIN_SLICE_SIZE, Slice, associations, compare_slices
from .statistics import bootstrap, format_interval, format_p, is_binary, wilson
from .tables import shorten

MAX_CURVES = 12
MAX_POINTS = 2000  # of a scatter plot
MAX_CLASSES = 10  # of a confusion matrix; more can't be read on a phone
MAX_ROWS = 20  # of a table of examples or confusions
MAX_SLICES = 200
PACKAGES = ("torch", "jax", "tensorflow", "scikit-learn", "xgboost", "lightgbm", "numpy")


def report_run(run: Run, slice_by: Sequence[str], output: Path | None, console: Console) -> None:
    """Write the page, and print its summary.

    Args:
        run: has been evaluated.
        slice_by: columns; all of them if there are none.
        output: HTML file; analysis.html in the run's folder if None.
        console: for the summary.

    Raises:
        CommandError: predictions are missing or wrong, or a column is unknown.
    """
    predictions = read_predictions(run.folder / "predictions.csv")
    columns = predictions.metadata
    for name in slice_by:
        if name not in columns:
            known = f"expected one of {', '.join(columns)}" if columns else "there is no metadata"
            hint = nearest(name, columns, known)
            raise CommandError(f"--slice-by {name}: no such column; {hint}")

    measure, errors = predictions.error
    chosen = {name: columns[name] for name in slice_by or columns}
    slices = compare_slices(errors, predictions.numbers["weight"], chosen)
    metrics = _metrics(predictions)
    metrics += _other_metrics(run, {name for name, *_ in metrics})
    calibration = calibrate(predictions)
    sections = [
        section("Metrics", table(metrics, ("", "value", "95% interval"))),
        section("Learning curve", _learning_curve(run)),
        section("Calibration", *draw_calibration(calibration)) if calibration else "",
        *_confusions_or_residuals(predictions),
        section("Slices", _slices(slices, measure)),
        section("Error analysis", *_error_analysis(predictions)),
        section("Provenance", table(_provenance(run))),
    ]
    path = output or run.folder / "analysis.html"
    write_page(path, f"Analysis of {run.name}", f"{len(errors)} test examples", sections)

    summary = [(name, f"{value} ({interval})") for name, value, interval in metrics]
    if calibration:
        summary.append(("calibration", str(calibration)))
    worse = ", ".join(f"{part.column} {part.name}" for part in slices if part.is_worse) or "none"
    summary += [("worse slices", f"{worse}, of {len(slices)} tested"), ("report", str(path))]
    width = max(len(name) for name, _ in summary)
    for name, text in summary:
        line = printable(f"{name:<{width}}  {text}")
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _metrics(predictions: Predictions) -> list[tuple[str, str, str]]:
    """Metrics and their intervals over the examples; another training would add to them."""
    weights, correct = predictions.numbers["weight"], predictions.numbers.get("correct")
    values = predictions.metrics(weights)
    resampled = bootstrap(lambda drawn: list(predictions.metrics(drawn).values()), weights)
    intervals = dict(zip(values, resampled, strict=True))
    if correct is not None and is_binary(correct, weights):
        intervals["accuracy"] = wilson(correct.sum(), len(correct))
    return [(name, f"{values[name]:.4g}", format_interval(intervals[name])) for name in values]


def _other_metrics(run: Run, known: set[str]) -> list[tuple[str, str, str]]:
    """Those of metrics.json that don't follow from predictions.csv, such as the owner's own."""
    evaluation = run.evaluation
    spellings = {name.casefold() for name in known}
    return [
        (name, f"{estimate.value:.4g}", format_interval(estimate.interval or (np.nan, np.nan)))
        for name, estimate in (evaluation.metrics if evaluation else {}).items()
        if name.replace("_", " ").casefold() not in spellings
    ]


def _learning_curve(run: Run) -> str:
    """A figure per metric, loss first, with both train and validation."""
    names = sorted({name for _, metrics in run.metrics for name in metrics})
    titles = {name.rpartition("/")[2] for name in names}
    best_step = (run.outcome or {}).get("best_step")
    figures: list[str] = []
    for title in sorted(titles, key=lambda title: (title != "loss", title))[:MAX_CURVES]:
        figure, axes = plot(title.replace("_", " "))
        for name in (name for name in names if name.rpartition("/")[2] == title):
            points = [(step, metrics[name]) for step, metrics in run.metrics if name in metrics]
            style = "." if len(points) == 1 else "-" if name.startswith("train/") else "--"
            axes.plot(*zip(*points, strict=True), style, label=drawable(name))
        if best_step is not None:
            axes.axvline(best_step, color="gray", linewidth=0.8, label="best step")
        axes.set_xlabel("step")
        for label in axes.legend(fontsize=9).get_texts():
            label.set_parse_math(False)
        figures.append(image(figure, f"Learning curve: {title}"))
    return gallery(figures) if figures else paragraph("metrics.jsonl has no metrics.")


def _confusions_or_residuals(predictions: Predictions) -> Iterator[str]:
    if predictions.values.size:
        label, predicted = predictions.values
        rows = np.random.default_rng(0).permutation(len(label))[:MAX_POINTS]
        figure, axes = plot("Residuals")
        axes.axhline(0, color="gray", linewidth=0.8)
        axes.plot(predicted[rows], (label - predicted)[rows], ".", markersize=3, alpha=0.5)
        axes.set(xlabel="predicted", ylabel="label minus predicted")
        yield section("Residuals", image(figure, "Residuals over predictions"))

    names = predictions.class_names
    if 0 < len(names) <= MAX_CLASSES:
        matrix = np.zeros((len(names), len(names)), dtype=int)
        np.add.at(matrix, tuple(predictions.classes), 1)
        rows = [(name, *map(str, row)) for name, row in zip(names, matrix, strict=True)]
        yield section("Confusion matrix", table(rows, ("label \\ predicted", *names)))


def _slices(slices: Sequence[Slice], measure: str) -> str:
    rows: list[tuple[str, ...]] = []
    for part in slices[:MAX_SLICES]:
        name = f"{part.column}: {part.name}{' (worse)' if part.is_worse else ''}"
        error, rest = f"{part.error:.4g}", f"{part.rest:.4g}"
        values = error, format_interval(part.interval), rest, format_p(part.p_value)
        rows.append((name, str(part.examples), *values))
    text = (
        f"{len(slices)} slices of at least {MIN_SLICE_SIZE} examples were each compared with the "
        "rest of the split. Worse is significant after Holm's correction for their number. "
        f"Listed by p-value, at most {MAX_SLICES}."
    )
    header = ("slice", "examples", measure, "95% interval", "rest", "p")
    return paragraph(text) + table(rows, header)


def _error_analysis(predictions: Predictions) -> Iterator[str]:
    yield "<h3>Worst examples by loss</h3>"
    examples = predictions.table
    names = [name for name in RESERVED if name in examples.columns]
    order = np.argsort(-predictions.numbers["loss"], kind="stable")[:MAX_ROWS]
    worst = examples[order].select(*names, pl.exclude(names))
    unchanged = ("id", "label", "predicted") if predictions.class_names else ("id",)
    worst = worst.with_columns(
        shorten(worst[name]) for name in worst.columns if name not in unchanged
    )
    yield table(worst.fill_null("").iter_rows(), worst.columns)

    if predictions.class_names:
        yield "<h3>Most frequent confusions</h3>"
        wrong = examples.filter(pl.col("label").ne_missing(pl.col("predicted")))
        counts = wrong.group_by("label", "predicted").len("examples").fill_null("")
        counts = counts.sort("examples", "label", "predicted", descending=[True, False, False])
        yield table(counts.head(MAX_ROWS).cast(pl.String).iter_rows(), counts.columns)

    yield "<h3>Metadata associated with the errors</h3>"
    results = associations(predictions.error[1], predictions.metadata)
    rows = [(name, f"{strength:.2f}", format_p(p_value)) for name, strength, p_value in results]
    yield table(rows, ("column", "strength, 0 to 1", "p"))


def _provenance(run: Run) -> Iterator[tuple[str, str]]:
    """The entries of run.json and outcome.json, most of which are optional."""
    provenance = run.provenance
    git = provenance.get("git") or {}
    packages = provenance.get("packages") or {}
    changed = "with" if git.get("diff") or git.get("untracked") else "without"
    entries = {
        "started": provenance["started"],
        "command": shlex.join(map(str, provenance.get("command", []))),
        "git commit": git and f"{git.get('commit')}, {changed} uncommitted changes",
        **{name: provenance.get(name) for name in ("data", "seed", "device", "python")},
        "packages": {name: packages[name] for name in PACKAGES if name in packages},
        "resumptions": len(provenance.get("continued") or []),
        "outcome": run.outcome or "the run hasn't ended",
        "config": run.config,
    }
    for name, value in flatten(entries).items():
        if value not in (None, ""):
            yield name, str(value)
