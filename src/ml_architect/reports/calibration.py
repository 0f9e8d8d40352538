# pyright: reportUnknownMemberType=false
"""Calibration: mean predicted confidence, or mean predicted number, against the observed mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .page import image, paragraph, plot
from .predictions import Predictions
from .statistics import ALPHA, Array, format_p, mean_interval, stats

MAX_BINS = 15
MIN_BIN_SIZE = 10  # examples, for a usable mean
SIMULATIONS = 2000


@dataclass(frozen=True)
class Calibration:
    """Mean prediction and mean observation in G bins of about equally many examples.

    Such bins estimate the error better than bins of equal width: Nguyen & O'Connor, 2015,
    https://arxiv.org/abs/1508.05154.
    """

    predicted: Array  # (G,)
    observed: Array  # (G,)
    intervals: Array  # (G, 2), of the observed means
    error: float  # expected calibration error: mean distance of the two
    p_value: float  # of an error as large as this if the model were perfectly calibrated

    def __str__(self) -> str:
        text = f"expected calibration error {self.error:.4g}"
        if self.p_value >= ALPHA:
            return f"{text}, not significant ({format_p(self.p_value)})"
        # Bins have about equal sizes, so the means over bins give the direction.
        direction = "high" if self.predicted.mean() > self.observed.mean() else "low"
        return f"{text}, significant ({format_p(self.p_value)}): too {direction} on average"


def calibrate(predictions: Predictions) -> Calibration | None:
    """Confidence against accuracy, or predicted against observed numbers; None without either."""
    weights = predictions.numbers["weight"]
    if "confidence" in predictions.numbers:
        predicted, observed = predictions.numbers["confidence"], predictions.numbers["correct"]
        variance = predicted * (1 - predicted)
    elif predictions.values.size:
        observed, predicted = predictions.values
        variance = (observed - predicted) ** 2
    else:
        return None

    # Equal predictions have equal ranks and so are in one bin.
    bins = np.clip(len(predicted) // MIN_BIN_SIZE, 1, MAX_BINS)
    numbers = ((stats.rankdata(predicted) - 0.5) / len(predicted) * bins).astype(int)
    rows = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    sizes = np.array([weights[row].sum() for row in rows])
    predicted_means = np.array([np.average(predicted[row], weights=weights[row]) for row in rows])
    observed_means = np.array([np.average(observed[row], weights=weights[row]) for row in rows])
    error = np.abs(predicted_means - observed_means) @ sizes / sizes.sum()

    # The error is never 0, even of a perfect model, since a finite sample differs from its mean. So
    # simulate a perfectly calibrated model: Bröcker & Smith, 2007,
    # https://doi.org/10.1175/WAF993.1
    scale = np.sqrt([weights[row] ** 2 @ variance[row] for row in rows]) / sizes
    deviations = np.random.default_rng(0).normal(0, scale, (SIMULATIONS, len(rows)))
    null_errors = np.abs(deviations) @ sizes / sizes.sum()
    p_value = (1 + (null_errors >= error).sum()) / (1 + SIMULATIONS)
    intervals = np.array([mean_interval(observed[row], weights[row]) for row in rows])
    return Calibration(predicted_means, observed_means, intervals, float(error), float(p_value))


def draw_calibration(result: Calibration) -> Iterator[str]:
    """The reliability diagram: the points of a calibrated model are on the diagonal."""
    figure, axes = plot("Reliability diagram", height=3.6)
    axes.axline((result.predicted[0],) * 2, slope=1, color="gray", linewidth=0.8)
    finite = np.isfinite(result.intervals).all(axis=1)
    axes.vlines(result.predicted[finite], *result.intervals[finite].T, linewidth=1.2)
    axes.plot(result.predicted, result.observed, "o", markersize=4)
    axes.set(xlabel="mean prediction", ylabel="mean observation")
    yield paragraph(str(result).capitalize())
    yield image(figure, "Mean observation over mean prediction, with 95% intervals")
