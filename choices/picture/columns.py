# The template's: updates improve this file and keep your edits.
"""How each column is distributed, before and after augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..data import source
from ..protocols import Array
from .check import Checked

PANELS = 24
FEW = 12  # distinct values, each of which gets a bar of its own


def picture(checked: Checked) -> Figure:
    """A histogram of each column of the prepared records, and of the augmented ones.

    Under the names that `COLUMNS` of source.py gives them, as far as these are one a column. A
    column that holds nothing is left out.
    """
    size = len(checked.prepared)
    before, after = (each.reshape(size, -1) for each in (checked.prepared, checked.augmented))
    width = before.shape[1]
    stated: Any = vars(source).get("COLUMNS", ())
    names = list(stated) if len(stated) == width else [f"column {at}" for at in range(width)]
    shown = np.flatnonzero(~np.isnan(before).all(axis=0))[:PANELS]
    columns = max(1, min(4, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(2.6 * columns, 2.2 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for axes, at in zip(panels, shown, strict=False):
        _draw(axes, before[:, at], after[:, at])
        axes.set_title(names[at], fontsize=9, parse_math=False)
        axes.tick_params(labelsize=7)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw(axes: Axes, before: Array, after: Array) -> None:
    """Two histograms, (B,) each; below them the shares that are missing, if any are."""
    both = [values[np.isfinite(values)] for values in (before, after)]
    everything = np.concatenate(both)
    values = np.unique(everything)
    if len(values) <= FEW:  # categories, by the number that stands for each
        for number, (given, label) in enumerate(zip(both, ("before", "after"), strict=True)):
            counts = [np.count_nonzero(given == value) for value in values]
            places = np.arange(len(values)) + 0.4 * number
            axes.bar(places, counts, 0.4, color=f"C{number}", label=label)
        axes.set_xticks([])
    else:
        bins = np.histogram_bin_edges(everything, bins=20).tolist()
        for number, (given, label) in enumerate(zip(both, ("before", "after"), strict=True)):
            axes.hist(given, bins=bins, histtype="step", color=f"C{number}", label=label)
    shares = [np.isnan(values).mean() for values in (before, after)]
    if any(shares):
        axes.set_xlabel(f"missing {shares[0]:.0%}, then {shares[1]:.0%}", fontsize=7)
