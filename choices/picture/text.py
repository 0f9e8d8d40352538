# The template's: updates improve this file and keep your edits.
"""Windows of text, before and after augmentation, drawn as the starter's `draw` shows them."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from .check import Checked
from .transforms import draw

WINDOWS = 4


def picture(checked: Checked) -> Figure:
    """A few windows: above as they are prepared, below as one batch of training saw them."""
    rows = np.linspace(0, len(checked.prepared) - 1, min(WINDOWS, len(checked.prepared)))
    figure = Figure(figsize=(4.4 * len(rows), 5), layout="constrained")
    panels = figure.subplots(2, len(rows), squeeze=False)
    for line, (title, windows) in enumerate(
        (("before", checked.prepared), ("after", checked.augmented))
    ):
        for axes, row in zip(panels[line], rows.astype(int), strict=True):
            draw(axes, windows[row])
            axes.set_title(title, fontsize=9, loc="left")
    return figure
