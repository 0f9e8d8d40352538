# The template's: updates improve this file and keep your edits.
"""A run's result as one self-contained page: the network beside its baselines, and its mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from ..data.dataset import Dataset
from ..data.source import COLUMNS
from ..data.table import Column, Numeric, category
from ..page import image, several, table, write_page
from ..protocols import History, Indices
from .baseline import Comparison, compare
from .calibration import draw_reliability
from .curves import curves_section
from .evaluate import Classification, Predictions, Regression
from .origin import origin
from .slices import facts_of, slices

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
    provenance: Mapping[str, Any] | None = None,
    slice_by: Sequence[str] = (),
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
        provenance: what run.json says.
        slice_by: the facts by which the split is parted; by default all of them.

    Returns:
        What there is to say first, and how far it is to the baseline.
    """
    compared = compare(found, training, dataset)
    looked = slices(found.scores(), facts_of(dataset, slice_by))
    said = {**found.summary(), "worse than the rest": looked.told()}
    rows = found.worst_mistakes(MISTAKES)
    parts = [
        table(said.items()),
        "<h2>Does the network earn its keep?</h2>",
        f"<p><strong>{escape(compared.verdict)}</strong></p>",
        _measures(compared),
        f"<p>Gradient boosting is scikit-learn's, with its default settings, learnt from "
        f"{compared.learned_from} of the {len(training)} training records and stopped by the "
        "validation split. The plain guess knows the labels of the training split, and no inputs. "
        "Differences are the network's less boosting's; between the last two numbers they lie with "
        "95 % confidence, by a paired bootstrap.</p>",
        curves_section(history),
        "<h2>Truth and answer</h2>",
        several(_answers(compared, dataset.classes)),
        "<h2>Whether it may be taken at its word</h2>",
        *_calibration(found),
        *looked.section(),
        f"<h2>The worst mistakes, {len(rows)} of {len(dataset)} records</h2>",
        _mistakes(rows, found, dataset) if len(rows) else "<p>None.</p>",
    ]
    if provenance is not None:
        parts.append(origin(provenance))
    write_page(path, title, about, parts)
    return {**said, "beside gradient boosting": compared.verdict}


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


def _answers(compared: Comparison, classes: Sequence[str]) -> Iterator[str]:
    """The network's answers, and boosting's, on the same scales."""
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
        yield image(figure, f"The answers of {name} beside the truth")


def _calibration(found: Predictions) -> Iterator[str]:
    match found:
        case Regression():
            below, names = "it guesses too high", ("mean guess", "mean truth")
        case _:
            below, names = "it is too sure", ("how sure it is", "how often it is right")
    yield f"<p>On the line, it is right on average. Below it, {below}.</p>"
    yield image(draw_reliability(found.calibration(), *names), " beside ".join(names))


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
