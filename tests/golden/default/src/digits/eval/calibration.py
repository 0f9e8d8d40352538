# The template's: updates improve this file and keep your edits.
"""Whether what the network says is so, on average, where it says so.

Shapes: C cells that are never parted, such as records; G bins of about equally many records, which
tell more than bins of equal width (Nguyen & O'Connor, 2015, https://arxiv.org/abs/1508.05154).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from ..protocols import Array
from .intervals import of_mean, of_share

BINS = 15  # at most,
FEWEST = 10  # records in each, at least: of fewer, any mean is a guess


@dataclass(frozen=True, slots=True)
class Reliability:
    """In each bin, what was said and what was so."""

    counts: Array  # (G,)
    stated: Array  # (G,), mean of what was said
    true: Array  # (G,), mean of what was so
    low: Array  # (G,), and between what that lies with 95 % confidence
    high: Array  # (G,)

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of the two, by the records.

        Source: Guo et al. (2017, https://arxiv.org/abs/1706.04599).
        """
        return float((self.counts * np.abs(self.stated - self.true)).sum() / self.counts.sum())

    def by_chance(self) -> float:
        """The error that 95 of 100 perfectly calibrated networks stay under, of so many records.

        Never 0, since chance alone parts the two, and resampling would count that twice. Hence
        hits are drawn as stated (Bröcker & Smith, 2007, https://doi.org/10.1175/WAF993.1).
        """
        draws = np.random.default_rng(0)
        size = (1000, len(self.counts))
        hits = draws.binomial(self.counts.astype(np.int64), self.stated.clip(0, 1), size)
        errors = np.abs(hits - self.counts * self.stated).sum(axis=1) / self.counts.sum()
        return float(np.quantile(errors, 0.95))

    def told(self) -> str:
        """The error, and whether chance explains it, for people."""
        error, limit = self.error, self.by_chance()
        side = "chance explains it" if error <= limit else "more than chance explains"
        return f"{error:.4f}  ({side}: up to {limit:.4f} if perfectly calibrated)"


def reliability(stated: Array, true: Array) -> Reliability:
    """Of records, each with what was said, (N,), and what was so, (N,): 0 or 1, or a number."""
    _, cells, counts = np.unique(stated, return_inverse=True, return_counts=True)
    groups = _groups(counts)[cells]
    rows = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    ends = [of_mean(true[each], np.ones(len(each))) for each in rows]
    return Reliability(
        counts=np.array([len(each) for each in rows]),
        stated=np.array([stated[each].mean(dtype=np.float64) for each in rows]),
        true=np.array([true[each].mean(dtype=np.float64) for each in rows]),
        low=np.array([low for low, _ in ends]),
        high=np.array([high for _, high in ends]),
    )


def pooled(cells: Array) -> Reliability:
    """Of cells, (3, C), in the order of what is said: their counts, sums of what was said and hits.

    So that any number of predictions can be looked at in bounded memory.
    """
    cells = cells[:, cells[0] > 0]
    groups = _groups(cells[0])
    sums = np.stack([np.bincount(groups, row) for row in cells])
    counts, said, hits = sums[:, sums[0] > 0]
    ends = [of_share(hit / count, count) for hit, count in zip(hits, counts, strict=True)]
    low, high = np.array(ends).T
    return Reliability(counts, said / counts, hits / counts, low, high)


def _groups(counts: Array) -> Array:
    """The bin of each cell, (C,), by where its middle lies among all records."""
    bins = np.clip(counts.sum() // FEWEST, 1, BINS)
    middle = np.cumsum(counts) - counts / 2
    return (middle / counts.sum() * bins).astype(np.int64)


def draw_reliability(found: Reliability, stated: str, true: str) -> Figure:
    """Points on the diagonal are as they should be; below it too much was promised."""
    figure = Figure(figsize=(3.8, 3.4), layout="constrained")
    axes = figure.subplots()
    ends = np.concatenate([found.stated, found.true])
    axes.plot([ends.min(), ends.max()], [ends.min(), ends.max()], color="gray", linewidth=0.8)
    finite = np.isfinite(found.low)
    axes.vlines(found.stated[finite], found.low[finite], found.high[finite], linewidth=1.2)
    axes.plot(found.stated, found.true, "o", markersize=4)
    axes.set(xlabel=stated, ylabel=true)
    axes.grid(alpha=0.3)
    return figure
