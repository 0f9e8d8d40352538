# The template's: updates improve this file and keep your edits.
"""How each column is distributed, before and after augmentation."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from .check import Checked

PANELS = 24


def picture(checked: Checked) -> Figure:
    """A histogram of each column of the prepared records, and of the augmented ones."""
    width = min(PANELS, checked.prepared.shape[1])
    columns = min(4, width)
    rows = -(-width // columns)
    figure = Figure(figsize=(2.6 * columns, 2.2 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axes in panels[width:]:
        axes.set_axis_off()
    for at, axes in zip(range(width), panels, strict=False):
        both = [each[:, at] for each in (checked.prepared, checked.augmented)]
        both = [values[np.isfinite(values)] for values in both]
        bins = np.histogram_bin_edges(np.concatenate(both), bins=20)
        for number, (values, label) in enumerate(zip(both, ("before", "after"), strict=True)):
            axes.hist(values, bins=bins, histtype="step", color=f"C{number}", label=label)
        axes.set_title(f"column {at}", fontsize=9)
        axes.tick_params(labelsize=7)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure
