"""Intervals and corrections that every report uses."""

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

    A resample multiplies the weight of each example by how often it was drawn. All metrics share
    the resamples, which `scipy.stats.bootstrap` can't do: with 100,000 examples that takes a
    fraction of the time.

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
    """Interval of a proportion; it says something even where all trials succeed."""
    low, high = stats.binomtest(round(successes), trials).proportion_ci(method="wilson")
    return float(low), float(high)


def is_binary(values: Array, weights: Array) -> bool:
    """Whether these are 0 and 1 of equal weight, so that exact methods apply."""
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
    """For people, in one line of a table; empty where there is none, as for a single example."""
    low, high = interval
    return f"{low:.4g}\xa0to\xa0{high:.4g}" if np.isfinite([low, high]).all() else ""


def format_p(p_value: float) -> str:
    """For people, in one line of a table."""
    return "p\xa0<\xa00.001" if p_value < 0.001 else f"p\xa0=\xa0{p_value:.3f}"
