# The template's: updates improve this file and keep your edits.
"""A run's result as one self-contained page: numbers, curves, confusion, the worst mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from ..data.dataset import Dataset
from ..features.transforms import draw
from ..page import image, table, write_page
from ..protocols import History
from .curves import draw_curves
from .evaluate import Predictions


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
        What there is to say besides the predictions' summary.
    """
    mistakes = found.worst_mistakes(24)
    parts = [
        table(found.summary().items()),
        "<h2>Training</h2>",
        image(draw_curves({title: history}), "The metrics over the steps"),
        "<h2>Which class was taken for which</h2>",
        _confusion(found, dataset.classes),
        f"<h2>The worst mistakes, of {np.count_nonzero(found.guesses != found.labels)}</h2>",
    ]
    if len(mistakes):
        parts.append(image(_mistakes(mistakes, found, dataset), "The worst mistakes"))
        rows = ((dataset.ids[row], _verdict(row, found, dataset.classes)) for row in mistakes)
        parts.append(table(rows))
    else:
        parts.append("<p>None.</p>")
    write_page(path, title, about, parts)
    return {}


def _confusion(found: Predictions, classes: Sequence[str]) -> str:
    counts = found.confusion()
    if len(classes) > 40:  # a matrix that nobody could read
        np.fill_diagonal(counts, 0)
        cells = np.argsort(-counts, axis=None, kind="stable")[:20]
        pairs = [divmod(int(cell), len(classes)) for cell in cells if counts.flat[cell]]
        return table((f"{classes[a]} → {classes[b]}", f"{counts[a, b]} times") for a, b in pairs)
    side = 1.8 + 0.3 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.log1p(counts), cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            shade = "white" if count > counts.max() / 3 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=shade)
    slant = 45 if max(map(len, classes)) > 3 else 0
    axes.set_xticks(range(len(classes)), classes, rotation=slant, parse_math=False)
    axes.set_yticks(range(len(classes)), classes, parse_math=False)
    axes.set(xlabel="taken for", ylabel="is")
    return image(figure, "Confusion matrix")


def _mistakes(rows: Iterable[np.int64], found: Predictions, dataset: Dataset) -> Figure:
    shown = list(rows)
    lines = -(-len(shown) // 8)
    figure = Figure(figsize=(9, 1.5 * lines), layout="constrained")
    panels = figure.subplots(lines, 8, squeeze=False).flatten().tolist()
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for axes, row in zip(panels, shown, strict=False):
        draw(axes, dataset.prepare(dataset.inputs[row : row + 1])[0])
        is_, taken = dataset.classes[found.labels[row]], dataset.classes[found.guesses[row]]
        axes.set_title(f"{is_} → {taken}", fontsize=9, parse_math=False)
    return figure


def _verdict(row: np.int64, found: Predictions, classes: Sequence[str]) -> str:
    label, guess = found.labels[row], found.guesses[row]
    sure = found.probabilities[row]
    return (
        f"is {classes[label]} ({sure[label]:.1%} sure), "
        f"taken for {classes[guess]} ({sure[guess]:.1%} sure)"
    )
