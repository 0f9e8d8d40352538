"""Confidence intervals and corrections for multiple comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.stats

stats: Any = scipy.stats  # SciPy has no types
Array = npt.NDArray[Any]
Interval = tuple[float, float]

ALPHA = 0.05  # level of all tests; all intervals are of 95%
MAX_DRAWS = 3 * 10**7  # of a bootstrap, a few seconds: fewer resamples of very large splits


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, so that all together have the level of one test.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1).tolist()


def bootstrap(metrics: Callable[[Array], Sequence[float]], weights: Array) -> list[Interval]:
    """Percentile intervals of metrics that are functions of the examples' weights.

    A resample multiplies the weight of each example by the number of times it was drawn. All
    metrics use the same resamples, unlike in `scipy.stats.bootstrap`, which takes several times as
    long with 100,000 examples.

    Args:
        metrics: the metrics at given weights, (N,).
        weights: of the examples, (N,).
    """
    rng = np.random.default_rng(0)
    size = len(weights)
    values: list[Sequence[float]] = []
    for _ in range(int(np.clip(MAX_DRAWS // size, 100, 1000))):
        drawn = np.bincount(rng.integers(size, size=size), minlength=size)
        values.append(metrics(weights * drawn))
    low, high = np.quantile(values, (ALPHA / 2, 1 - ALPHA / 2), axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def wilson(successes: float, trials: int) -> Interval:
    """Interval of a proportion, which isn't empty even if all trials succeed."""
    low, high = stats.binomtest(round(successes), trials).proportion_ci(method="wilson")
    return float(low), float(high)


def is_binary(values: Array, weights: Array) -> bool:
    """Whether exact methods apply: all values are 0 or 1, with equal weights."""
    return bool(np.isin(values, (0, 1)).all() and (weights == 1).all())


def mean_interval(values: Array, weights: Array) -> Interval:
    """Interval of a mean: Wilson's for 0 and 1, else Student's t; infinite for a single value.

    Weighted by the linearised ratio estimator: Cochran, Sampling Techniques, 1977, section 6.3.
    """
    if is_binary(values, weights):
        return wilson(values.sum(), len(values))
    if len(values) == 1:
        return -np.inf, np.inf
    mean = np.average(values, weights=weights)
    error = stats.sem((values - mean) * weights / weights.mean())
    half = stats.t.ppf(1 - ALPHA / 2, len(values) - 1) * error
    return float(mean - half), float(mean + half)


def format_interval(interval: Interval) -> str:
    """Format for a table, without line breaks; empty for a single example."""
    low, high = interval
    return f"{low:.4g}\xa0to\xa0{high:.4g}" if np.isfinite([low, high]).all() else ""


def format_p(p_value: float) -> str:
    """Format for a table, without line breaks."""
    return "p\xa0<\xa00.001" if p_value < 0.001 else f"p\xa0=\xa0{p_value:.3f}"
