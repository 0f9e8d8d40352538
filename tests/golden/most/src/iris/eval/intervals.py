# The template's: updates improve this file and keep your edits.
"""Between what values a number lies that was measured on so many records.

Everywhere with a confidence of 95 %, and over the records: another training would add to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

from ..protocols import Array, Indices, Metrics

Interval = tuple[float, float]


def resamples(records: int) -> Iterator[Indices]:
    """Rows drawn with replacement, (N,), again and again, the same at each call: a bootstrap."""
    random = np.random.default_rng(0)
    for _ in range(min(1000, max(100, 10**7 // records))):  # fewer of many records: seconds, still
        yield random.integers(0, records, size=records)


def bootstrap(measure: Callable[[Indices], Metrics], records: int) -> dict[str, Interval]:
    """Percentile intervals, Efron (1979, https://doi.org/10.1214/aos/1176344552).

    Args:
        measure: the numbers, by their names, that rows of the split have, each of which may occur
            more than once. One that they don't have is left out.
        records: in the split.
    """
    drawn = [measure(rows) for rows in resamples(records)]
    found: dict[str, Interval] = {}
    for name in dict.fromkeys(name for each in drawn for name in each):
        low, high = np.quantile([each[name] for each in drawn if name in each], (0.025, 0.975))
        found[name] = float(low), float(high)
    return found


def of_share(share: float, records: int, chance: float = 0.05) -> Interval:
    """Of a share of independent records: Wilson's score interval.

    It says something even where all or none are so, which resampling doesn't.
    Source: Wilson (1927, https://doi.org/10.1080/01621459.1927.10502953).
    """
    z = NormalDist().inv_cdf(1 - chance / 2)
    centre = (share + z * z / (2 * records)) / (1 + z * z / records)
    spread = share * (1 - share) / records + z * z / (4 * records * records)
    half = z / (1 + z * z / records) * math.sqrt(spread)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)  # whatever is rounded


def of_mean(values: Array, weights: Array, chance: float = 0.05) -> Interval:
    """Of a sum of values over a sum of weights, both (N,): in no time, and for any confidence.

    A share where the values are 0 or 1. Else by the linearised ratio (Cochran, Sampling Techniques,
    1977, 6.3) and Student's t, whose quantile is expanded about the normal one (Abramowitz &
    Stegun, 1964, 26.7.5). Infinite for a single record.
    """
    mean, count = float(values.sum() / weights.sum()), len(values)
    if np.isin(values, (0, 1)).all() and (weights == 1).all():
        return of_share(mean, count, chance)
    if count == 1:
        return -math.inf, math.inf
    z, free = NormalDist().inv_cdf(1 - chance / 2), count - 1
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    spread = ((values - mean * weights) ** 2).sum() * count / free
    half = float(t * math.sqrt(spread) / weights.sum())
    least = 0.0 if (values >= 0).all() else -math.inf  # costs have no mean below that
    return max(mean - half, least), mean + half


def told(value: float, interval: Interval, form: str = ".4f") -> str:
    """A number and its interval, for people."""
    low, high = interval
    return f"{value:{form}}  ({low:{form}} to {high:{form}} with 95 % confidence)"
