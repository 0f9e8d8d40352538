# The template's: updates improve this file and keep your edits.
"""A run's result as one self-contained page: numbers, curves, confusion, parts, mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from ..data.dataset import Dataset
from ..features.transforms import draw
from ..page import captioned, image, several, table, write_page
from ..protocols import History
from .calibration import draw_reliability
from .curves import curves_section
from .evaluate import Predictions
from .origin import origin
from .slices import facts_of, slices

MISTAKES = 24


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
        What there is to say first.
    """
    looked = slices(found.scores(), facts_of(dataset, slice_by))
    said = {**found.summary(), "worse than the rest": looked.told()}
    mistakes = found.worst_mistakes(MISTAKES)
    parts = [
        table(said.items()),
        curves_section(history),
        "<h2>Which class was taken for which</h2>",
        _confusion(found, dataset.classes),
        "<h2>Whether it is as sure as it may be</h2>",
        "<p>On the line, it is right as often as it says. Below it, it is too sure of itself.</p>",
        image(
            draw_reliability(found.calibration(), "how sure it is", "how often it is right"),
            "How often it is right, over how sure it is",
        ),
        *looked.section(),
        f"<h2>The worst mistakes, of {np.count_nonzero(found.guesses != found.labels)}</h2>",
        several(_mistake(row, found, dataset) for row in mistakes) or "<p>None.</p>",
    ]
    if provenance is not None:
        parts.append(origin(provenance))
    write_page(path, title, about, parts)
    return said


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


def _mistake(row: np.int64, found: Predictions, dataset: Dataset) -> str:
    figure = Figure(figsize=(1.3, 1.3), layout="constrained")
    draw(figure.subplots(), dataset.prepare(dataset.inputs[row : row + 1])[0])
    return captioned(figure, f"{dataset.ids[row]} {_verdict(row, found, dataset.classes)}")


def _verdict(row: np.int64, found: Predictions, classes: Sequence[str]) -> str:
    label, guess = found.labels[row], found.guesses[row]
    sure = found.probabilities[row]
    return (
        f"is {classes[label]} ({sure[label]:.1%}), taken for {classes[guess]} ({sure[guess]:.1%})"
    )
