# The template's: updates improve this file and keep your edits.
"""Confidence intervals of metrics, over the examples: another training run would add to them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..protocols import Indices, Metrics

Interval = tuple[float, float]


def bootstrap(metrics: Callable[[Indices], Metrics], examples: int) -> dict[str, Interval]:
    """95 % percentile intervals. Source: Efron (1979, https://doi.org/10.1214/aos/1176344552).

    Args:
        metrics: the metrics of rows that were drawn with replacement, by name. One that isn't
            defined for them is left out.
        examples: the number of examples.
    """
    rng = np.random.default_rng(0)
    repeats = min(1000, max(100, 10**7 // examples))  # fewer for large splits: seconds, still
    drawn = [metrics(rng.integers(0, examples, size=examples)) for _ in range(repeats)]
    intervals: dict[str, Interval] = {}
    for name in dict.fromkeys(name for sample in drawn for name in sample):
        values = [sample[name] for sample in drawn if name in sample]
        low, high = np.quantile(values, (0.025, 0.975))
        intervals[name] = float(low), float(high)
    return intervals


def format_interval(value: float, interval: Interval, form: str = ".4f") -> str:
    """A metric and its confidence interval, for people."""
    low, high = interval
    return f"{value:{form}} (95 % CI {low:{form}} to {high:{form}})"
