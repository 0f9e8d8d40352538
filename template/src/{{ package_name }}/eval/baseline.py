# The template's: updates improve this file and keep your edits.
"""Baselines: gradient boosting, and a constant guess.

On tables, boosted trees with default settings are hard to beat (https://arxiv.org/abs/2207.08815).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..data.dataset import Dataset
from ..data.source import COLUMNS
from ..data.table import Categorical
from ..protocols import Array
from .evaluate import Classification, Predictions, Regression
from .intervals import bootstrap

MOST = 200_000  # records that the baseline learns from: about a minute on two cores
CATEGORIES = 254  # of a column that it tells apart; the bins of its histograms allow no more
LEAST = 1e-7  # probability, so that no class costs without bound


@dataclass(frozen=True)
class Comparison:
    """Network, gradient boosting and a plain guess, on the same records."""

    network: Predictions
    boosting: Predictions
    guess: Predictions
    learned_from: int  # records

    @cached_property
    def differences(self) -> dict[str, tuple[float, float, float]]:
        """By measure, network less boosting: the value, and between what it lies at 95 %.

        From a paired bootstrap, so that records which are hard for both cancel out.
        """

        def less(one: Predictions, other: Predictions) -> dict[str, float]:
            measures = other.measures()
            return {name: value - measures[name] for name, value in one.measures().items()}

        ends = bootstrap(
            lambda rows: less(self.network.at(rows), self.boosting.at(rows)),
            len(self.network.labels),
        )
        found = less(self.network, self.boosting)
        return {name: (value, *ends[name]) for name, value in found.items()}

    @property
    def verdict(self) -> str:
        """Whether the network is better than boosting, in one sentence."""
        name, (distance, low, high) = next(iter(self.differences.items()))
        ours, theirs, plain = (
            model.measures()[name] for model in (self.network, self.boosting, self.guess)
        )
        if high < 0:
            begin = "Better than gradient boosting"
        elif low > 0:
            begin = "Worse than gradient boosting"
        else:
            begin = f"No significant difference on {len(self.network.labels)} examples"
        side = "below" if distance < 0 else "above"
        return (
            f"{begin}: its {name.replace('_', ' ')} of {ours:.4g} is {abs(distance):.4g} {side} "
            f"gradient boosting's {theirs:.4g} (95 % CI of the difference: {low:+.4g} to "
            f"{high:+.4g}); a constant guess has {plain:.4g}."
        )


def compare(found: Predictions, training: Dataset, dataset: Dataset) -> Comparison:
    """The network's predictions for a split beside those of the baselines.

    Boosting learns from the training split, as the network does, and like it is stopped by the
    validation split. Both see the same inputs, before `prepare`.

    Args:
        found: the network's predictions.
        training: the records that it learnt from.
        dataset: the records that the predictions are about.
    """
    validation = replace(training.plain(), split="validation")
    random = np.random.default_rng(training.seed)
    count = min(MOST, len(training))
    rows = np.sort(random.choice(len(training), count, replace=False))
    inputs, labels = training.inputs[rows], training.labels[rows]
    encoder = _Encoder(inputs)
    model = _boosting(bool(dataset.classes), encoder.is_categorical, training.seed)
    model.fit(encoder(inputs), labels, X_val=encoder(validation.inputs), y_val=validation.labels)
    answers, classes = encoder(dataset.inputs), len(dataset.classes)
    if classes:
        probabilities = np.zeros((len(dataset), classes))
        probabilities[:, model.classes_] = model.predict_proba(answers)
        shares = np.bincount(training.labels, minlength=classes) / len(training)
        boosting = _classified(dataset.labels, probabilities)
        guess = _classified(dataset.labels, np.tile(shares, (len(dataset), 1)))
    else:
        mean = training.labels.mean(dtype=np.float64)
        variance = float(training.labels.var(dtype=np.float64))
        boosting = _guessed(dataset.labels, model.predict(answers), variance)
        guess = _guessed(dataset.labels, np.full(len(dataset), mean), variance)
    return Comparison(found, boosting, guess, count)


def _boosting(classify: bool, is_categorical: Array, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind: Any = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    return kind(categorical_features=is_categorical, early_stopping=True, random_state=seed)


def _classified(labels: Array, probabilities: Array) -> Classification:
    truth = np.clip(probabilities[np.arange(len(labels)), labels], LEAST, 1)
    return Classification(labels=labels, losses=-np.log(truth), probabilities=probabilities)


def _guessed(labels: Array, guesses: Array, variance: float) -> Regression:
    return Regression(labels=labels, losses=(guesses - labels) ** 2 / variance, guesses=guesses)


class _Encoder:
    """Categories as small numbers, by what the training rows hold; the rest as it is.

    Rare and unseen categories count as missing, as do hidden cells; a column that holds nothing in
    training is left out.
    """

    def __init__(self, inputs: Array) -> None:
        from sklearn.preprocessing import OrdinalEncoder

        categorical = np.array([isinstance(each, Categorical) for each in COLUMNS.values()])
        self._kept = np.flatnonzero(~np.isnan(inputs).all(axis=0))
        self.is_categorical = categorical[self._kept]
        self._codes = OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=np.nan,
            encoded_missing_value=np.nan,
            max_categories=CATEGORIES,
        )
        if self.is_categorical.any():
            self._codes.fit(inputs[:, self._kept[self.is_categorical]])

    def __call__(self, inputs: Array) -> Array:
        """The columns that are kept, (N, columns), as float64."""
        kept = inputs[:, self._kept]
        if self.is_categorical.any():
            kept[:, self.is_categorical] = self._codes.transform(kept[:, self.is_categorical])
        return kept
