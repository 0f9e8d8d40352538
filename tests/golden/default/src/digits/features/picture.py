# The template's: updates improve this file and keep your edits.
"""Records before and after augmentation, side by side."""

from __future__ import annotations

from matplotlib.figure import Figure

from .check import Checked
from .transforms import draw

PAIRS = 24


def picture(checked: Checked) -> Figure:
    """Pairs of prepared records and what augmentation made of them."""
    pairs = list(zip(checked.prepared, checked.augmented, strict=True))[:PAIRS]
    rows = -(-len(pairs) // 4)
    figure = Figure(figsize=(9, 1.25 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, 8, squeeze=False).flatten().tolist()
    for axes in panels:
        axes.set_axis_off()
    for at, (before, after) in enumerate(pairs):
        draw(panels[2 * at], before)
        draw(panels[2 * at + 1], after)
        panels[2 * at].set_title("before", fontsize=8)
        panels[2 * at + 1].set_title("after", fontsize=8)
    return figure
