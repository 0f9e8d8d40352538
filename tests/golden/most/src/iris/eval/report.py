# The template's: updates improve this file and keep your edits.
"""The report of a run: metrics, learning curves, confusion matrix, worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from ..data.dataset import Dataset
from ..features.transforms import draw
from ..protocols import History
from .evaluate import Predictions
from .page import captioned, gallery, image, learning_curves, table, write_page

MISTAKES = 24
EXAMPLES = "; those with the highest loss:"


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
        The metrics with their confidence intervals.
    """
    summary = predictions.summary()
    mistakes = np.count_nonzero(predictions.guesses != predictions.labels)
    worst = [_mistake(row, predictions, dataset) for row in predictions.worst_mistakes(MISTAKES)]
    parts = [
        table(summary.items()),
        "<h2>Learning curve</h2>",
        learning_curves(history),
        "<h2>Confusion matrix</h2>",
        _confusion_matrix(predictions, dataset.classes),
        "<h2>Worst mistakes</h2>",
        f"<p>{mistakes} of {len(dataset)} predictions are wrong{EXAMPLES if mistakes else '.'}</p>",
        gallery(worst),
    ]
    write_page(path, title, about, parts)
    return summary


def _confusion_matrix(predictions: Predictions, classes: Sequence[str]) -> str:
    counts = predictions.confusion()
    if len(classes) > 40:  # nobody could read it
        np.fill_diagonal(counts, 0)
        cells = np.argsort(-counts, axis=None, kind="stable")[:20]
        pairs = [divmod(int(cell), len(classes)) for cell in cells if counts.flat[cell]]
        rows = ((f"{classes[a]} → {classes[b]}", f"{counts[a, b]} times") for a, b in pairs)
        return table(rows, ("true label → predicted label", "count"))
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
    axes.set(xlabel="predicted label", ylabel="true label")
    return image(figure, "Confusion matrix")


def _mistake(row: np.int64, predictions: Predictions, dataset: Dataset) -> str:
    figure = Figure(figsize=(1.3, 1.3), layout="constrained")
    draw(figure.subplots(), dataset.prepare(dataset.inputs[row : row + 1])[0])
    label, predicted = predictions.labels[row], predictions.guesses[row]
    probabilities = predictions.probabilities[row]
    caption = (
        f"{dataset.ids[row]}: label {dataset.classes[label]} ({probabilities[label]:.1%}), "
        f"predicted {dataset.classes[predicted]} ({probabilities[predicted]:.1%})"
    )
    return captioned(figure, caption)
