# The template's: updates improve this file and keep your edits.
"""A run's result as one self-contained page: the network beside its baselines, and its mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from ..data.dataset import Dataset
from ..data.source import COLUMNS
from ..data.table import Column, Numeric, category
from ..page import image, table, write_page
from ..protocols import History, Indices
from .baseline import Comparison, compare
from .curves import draw_curves
from .evaluate import Classification, Predictions, Regression

MISTAKES = 24
READABLE = 12  # classes, in a confusion matrix


def write_report(
    path: Path,
    *,
    title: str,
    about: str,
    history: History,
    found: Predictions,
    model: nn.Module,
    training: Dataset,
    dataset: Dataset,
) -> dict[str, str]:
    """Write the page.

    Args:
        path: of the HTML file.
        title: the run's name.
        about: a line on the checkpoint and the split.
        history: the lines of `metrics.jsonl`.
        found: the predictions for the dataset.
        model: that made them.
        training: the records that it learnt from.
        dataset: the records that the predictions are about.

    Returns:
        What there is to say besides the predictions' summary: how far it is to the baseline.
    """
    compared = compare(found, training, dataset)
    rows = found.worst_mistakes(MISTAKES)
    parts = [
        table(found.summary().items()),
        "<h2>Does the network earn its keep?</h2>",
        f"<p><strong>{escape(compared.verdict)}</strong></p>",
        _measures(compared),
        f"<p>Gradient boosting is scikit-learn's, with its default settings, learnt from "
        f"{compared.learned_from} of the {len(training)} training records and stopped by the "
        "validation split. The plain guess knows the labels of the training split, and no inputs. "
        "Differences are the network's less boosting's; between the last two numbers they lie with "
        "95 % confidence, by a paired bootstrap.</p>",
        "<h2>Training</h2>",
        image(draw_curves({title: history}), "The metrics over the steps"),
        "<h2>Truth and answer</h2>",
        image(_answers(compared, dataset.classes), "The answers beside the truth"),
        f"<h2>The worst mistakes, {len(rows)} of {len(dataset)} records</h2>",
        _mistakes(rows, found, dataset) if len(rows) else "<p>None.</p>",
    ]
    write_page(path, title, about, parts)
    return {"beside gradient boosting": compared.verdict}


def _measures(compared: Comparison) -> str:
    """A line a measure, a column a model."""
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
    return table(rows, ("", "network", "gradient boosting", "plain guess", "difference"))


def _answers(compared: Comparison, classes: Sequence[str]) -> Figure:
    """The network's answers and boosting's, side by side."""
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    named = {"network": compared.network, "gradient boosting": compared.boosting}
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, (name, found) in zip(panels, named.items(), strict=True):
        match found:
            case Classification():
                _draw_confusion(axes, found, classes)
            case Regression():
                _draw_residuals(axes, found)
            case _:
                raise AssertionError(found)
        axes.set_title(name)
    return figure


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
    axes.set(xlabel="taken for", ylabel="is")


def _draw_residuals(axes: Axes, found: Regression) -> None:
    """What is left over the guess: a sound model leaves a band without a slope or a fan."""
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.scatter(found.guesses, found.residuals, s=9, alpha=0.5, edgecolors="none")
    axes.set(xlabel="guess", ylabel="truth less guess")
    axes.grid(alpha=0.3)


def _mistakes(rows: Indices, found: Predictions, dataset: Dataset) -> str:
    """A line a record: the verdict, then its cells under their columns."""
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
    return table(lines, ("record", "is", "taken for", *(name for name, _ in stated)))


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
