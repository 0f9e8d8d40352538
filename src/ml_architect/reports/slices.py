# pyright: reportUnknownMemberType=false
"""Slice metrics: errors of parts of the test split by metadata."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .statistics import ALPHA, Array, Interval, holm, is_binary, mean_interval, stats
from .tables import Columns, categorize

MIN_SLICE_SIZE = 10  # examples, inside and outside, for a usable mean


class Slice(NamedTuple):
    """A slice that was compared with all other examples."""

    column: str
    name: str
    examples: int
    error: float
    interval: Interval  # of the error
    rest: float  # error of the other examples
    p_value: float  # that it is worse than the rest, adjusted for the number of slices

    @property
    def is_worse(self) -> bool:
        """Whether the slice is significantly worse than the rest."""
        return self.p_value < ALPHA


def compare_slices(errors: Array, weights: Array, columns: Columns) -> list[Slice]:
    """Each slice of at least `MIN_SLICE_SIZE` examples against the rest, by p-value.

    Args:
        errors: of the examples, (N,); lower is better.
        weights: of the examples, (N,).
        columns: of the examples.
    """
    slices: list[Slice] = []
    for column, values in columns.items():
        categories = categorize(values)
        for name in categories.unique(maintain_order=True):
            inside = (categories == name).to_numpy()
            if not MIN_SLICE_SIZE <= inside.sum() <= len(inside) - MIN_SLICE_SIZE:
                continue
            error, rest = (
                np.average(errors[side], weights=weights[side]) for side in (inside, ~inside)
            )
            interval = mean_interval(errors[inside], weights[inside])
            p_value = _p_value_of_worse(errors, weights, inside)
            slices.append(Slice(column, name, int(inside.sum()), error, interval, rest, p_value))
    adjusted = holm([part.p_value for part in slices])
    slices = [part._replace(p_value=p) for part, p in zip(slices, adjusted, strict=True)]
    return sorted(slices, key=lambda part: part.p_value)


def _p_value_of_worse(errors: Array, weights: Array, inside: Array) -> float:
    """Of a higher mean error inside than outside: Fisher's exact test, or Welch's."""
    if is_binary(errors, weights):
        counts = [[(errors[side] == kind).sum() for kind in (1, 0)] for side in (inside, ~inside)]
        return float(stats.fisher_exact(counts, alternative="greater").pvalue)
    # Weighted deviations have the same mean inside and outside if the weighted errors have.
    deviations = (errors - np.average(errors, weights=weights)) * weights
    sides = deviations[inside], deviations[~inside]
    if np.ptp(sides[0]) == np.ptp(sides[1]) == 0:
        return float(sides[0][0] <= sides[1][0])
    return float(stats.ttest_ind(*sides, equal_var=False, alternative="greater").pvalue)


def associations(errors: Array, columns: Columns) -> list[tuple[str, float, float]]:
    """The association of each column with errors: name, strength, adjusted p-value.

    The Kruskal-Wallis test over the column's categories or quartiles. The strength is the root of
    its effect size η² and from 0 to 1, as a correlation.
    """
    results: list[tuple[str, float, float]] = []
    for column, values in columns.items():
        categories = categorize(values)
        groups = [errors[(categories == name).to_numpy()] for name in categories.unique()]
        groups = [group for group in groups if len(group) >= MIN_SLICE_SIZE]
        if len(groups) > 1 and np.ptp(np.concatenate(groups)) > 0:
            statistic, p_value = stats.kruskal(*groups)
            effect = (statistic - len(groups) + 1) / (sum(map(len, groups)) - len(groups))
            results.append((column, float(np.sqrt(max(0, effect))), float(p_value)))
    adjusted = holm([p_value for _, _, p_value in results])
    results = [(*result[:2], p) for result, p in zip(results, adjusted, strict=True)]
    return sorted(results, key=lambda result: -result[1])
