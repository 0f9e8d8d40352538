# The template's: updates improve this file and keep your edits.
"""The report of a run: metrics beside the baselines, learning curves, residuals, worst mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from ..data.dataset import Dataset
from ..data.source import COLUMNS
from ..data.table import Column, Numeric, category
from ..protocols import History, Indices
from .baseline import Comparison, compare
from .evaluate import Classification, Predictions, Regression
from .page import gallery, image, learning_curves, table, write_page

MISTAKES = 24
READABLE = 12  # classes, in a confusion matrix


def write_report(
    path: Path,
    *,
    title: str,
    about: str,
    history: History,
    predictions: Predictions,
    model: nn.Module,
    training: Dataset,
    dataset: Dataset,
) -> dict[str, str]:
    """Write the report.

    Args:
        path: of the HTML file.
        title: the run's name.
        about: a line on the checkpoint and the split.
        history: the lines of `metrics.jsonl`.
        predictions: for the dataset.
        model: that made them.
        training: the examples that it was trained on.
        dataset: the examples that the predictions are for.

    Returns:
        The metrics with their confidence intervals, and the difference to the baseline.
    """
    compared = compare(predictions, training, dataset)
    summary = predictions.summary()
    rows = predictions.worst_mistakes(MISTAKES)
    parts = [
        table(summary.items()),
        "<h2>Comparison with gradient boosting</h2>",
        f"<p><strong>{escape(compared.verdict)}</strong></p>",
        _measures(compared),
        f"<p>Gradient boosting is scikit-learn's with default settings, trained on "
        f"{compared.learned_from} of the {len(training)} training examples and stopped early on "
        "the validation split. The constant guess knows only the labels of the training split. "
        "Differences are network minus boosting, with 95 % confidence intervals from a paired "
        "bootstrap.</p>",
        "<h2>Learning curve</h2>",
        learning_curves(history),
        f"<h2>{'Confusion matrix' if dataset.classes else 'Residuals'}</h2>",
        gallery(_errors(compared, dataset.classes)),
        "<h2>Worst mistakes</h2>",
        f"<p>The worst {len(rows)} of {len(dataset)} predictions:</p>",
        _mistakes(rows, predictions, dataset),
    ]
    write_page(path, title, about, parts)
    return {**summary, "gradient boosting": compared.verdict}


def _measures(compared: Comparison) -> str:
    """One row per metric, one column per model."""
    models = (compared.network, compared.boosting, compared.guess)
    measures = [model.measures() for model in models]
    rows = (
        (
            name.replace("_", " "),
            *(f"{each[name]:.4g}" for each in measures),
            f"{difference:+.4g}  ({low:+.4g} to {high:+.4g})",
        )
        for name, (difference, low, high) in compared.differences.items()
    )
    return table(rows, ("", "network", "gradient boosting", "constant guess", "difference"))


def _errors(compared: Comparison, classes: Sequence[str]) -> Iterator[str]:
    """Confusion matrix or residuals, of the network and of boosting, on the same scales."""
    named = {"network": compared.network, "gradient boosting": compared.boosting}
    figures = {name: Figure(figsize=(3.8, 3.6), layout="constrained") for name in named}
    panels = [each.subplots() for each in figures.values()]
    panels[1].sharex(panels[0])
    panels[1].sharey(panels[0])
    for axes, (name, found) in zip(panels, named.items(), strict=True):
        match found:
            case Classification():
                _draw_confusion(axes, found, classes)
            case Regression():
                _draw_residuals(axes, found)
            case _:
                raise AssertionError(found)
        axes.set_title(name)
    for name, figure in figures.items():
        yield image(figure, f"{'Confusion matrix' if classes else 'Residuals'} of {name}")


def _draw_confusion(axes: Axes, found: Classification, classes: Sequence[str]) -> None:
    counts = found.confusion()
    axes.imshow(np.log1p(counts), cmap="Blues")
    if len(classes) <= READABLE:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                shade = "white" if count > counts.max() / 3 else "black"
                axes.text(column, row, str(count), ha="center", va="center", color=shade)
        axes.set_xticks(range(len(classes)), classes, rotation=45, parse_math=False)
        axes.set_yticks(range(len(classes)), classes, parse_math=False)
    axes.set(xlabel="predicted label", ylabel="true label")


def _draw_residuals(axes: Axes, found: Regression) -> None:
    """Residuals over predictions: of a good model, a band without slope or fan."""
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.scatter(found.guesses, found.residuals, s=9, alpha=0.5, edgecolors="none")
    axes.set(xlabel="predicted", ylabel="true minus predicted")
    axes.grid(alpha=0.3)


def _mistakes(rows: Indices, found: Predictions, dataset: Dataset) -> str:
    """One row per example: label and prediction, then its cells under their columns."""
    stated = [
        (name, at) for at, name in enumerate(COLUMNS) if not np.isnan(dataset.inputs[:, at]).all()
    ]
    lines = (
        (
            dataset.ids[row],
            *_verdict(row, found, dataset.classes),
            *(_cell(dataset.inputs[row, at], COLUMNS[name]) for name, at in stated),
        )
        for row in rows
    )
    return table(lines, ("example", "label", "predicted", *(name for name, _ in stated)))


def _verdict(row: np.int64, found: Predictions, classes: Sequence[str]) -> tuple[str, str]:
    match found:
        case Classification():
            label, guess = found.labels[row], found.guesses[row]
            sure = found.probabilities[row]
            is_, taken = f"{classes[label]} ({sure[label]:.1%})", f"{classes[guess]}"
            return is_, f"{taken} ({sure[guess]:.1%})"
        case Regression():
            return f"{found.labels[row]:.4g}", f"{found.guesses[row]:.4g}"
        case _:
            raise AssertionError(found)


def _cell(value: float, column: Column) -> str:
    """A cell as it stood in the table; of a text that isn't stated, the beginning of its hash."""
    if np.isnan(value):
        return "·"
    if isinstance(column, Numeric):
        return f"{value:.6g}"
    names = {category(text): text for text in column.values}
    return names.get(value, f"#{int(value):012x}"[:6])
