# The template's: updates improve this file and keep your edits.
"""What the network says about a split, and the numbers that sum it up, for classes and for numbers.

Shapes: N records in the split, K classes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from torch import nn

from ..data.dataset import Dataset
from ..models.network import losses
from ..protocols import Array, Batch, Indices

Z = 1.959964  # standard deviations that hold 95 % of a normal distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions(ABC):
    """The answer for each record of a split, the network's or a baseline's."""

    labels: Array  # (N,), the truth
    losses: Array  # (N,)

    @property
    def loss(self) -> float:
        """Mean over the records."""
        return float(self.losses.mean(dtype=np.float64))

    def metrics(self) -> dict[str, float]:
        """What is logged of held-out records."""
        return {"loss": self.loss, **self.measures()}

    def at(self, rows: Indices) -> Self:
        """The same of these rows only, which may occur more than once."""
        return replace(self, **{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    @abstractmethod
    def measures(self) -> dict[str, float]:
        """What a person judges it by.

        The first is a cost and decides between it and a baseline. One that isn't defined for these
        records is left out.
        """

    @abstractmethod
    def summary(self) -> dict[str, str]:
        """What is said first about a model."""

    @abstractmethod
    def skill(self, training: Array) -> float:
        """0: as good as a guess from labels of the training split, (N,), alone; 1: perfect."""

    @abstractmethod
    def worst_mistakes(self, most: int) -> Indices:
        """The rows that it is most wrong about, worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification(Predictions):
    """Of each record, how probable its classes are. Labels are indices into the classes."""

    probabilities: Array  # (N, K)

    @property
    def guesses(self) -> Indices:
        """The most probable class of each record, (N,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of the records whose most probable class is the true one."""
        return float((self.guesses == self.labels).mean())

    @property
    def belief(self) -> float:
        """Mean probability of the true class: an accuracy that doesn't hang on near ties."""
        return float(self.probabilities[np.arange(len(self.labels)), self.labels].mean())

    def accuracy_interval(self) -> tuple[float, float]:
        """Where the accuracy on unseen records lies, with a confidence of 95 %.

        Wilson's score interval (https://doi.org/10.1080/01621459.1927.10502953).
        """
        n, p = len(self.labels), self.accuracy
        centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z / (1 + Z * Z / n) * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    @property
    def brier(self) -> float:
        """Mean squared distance of the probabilities to the truth, 0 to 2 (Brier, 1950)."""
        truth = np.eye(self.probabilities.shape[1])[self.labels]
        return float(((self.probabilities - truth) ** 2).sum(axis=1).mean())

    @property
    def roc_auc(self) -> float:
        """Chance that a record of the second of two classes is ranked above one of the first.

        From ranks, ties shared (https://doi.org/10.1214/aoms/1177730491). Both have to be there.
        """
        scores = self.probabilities[:, 1]
        _, at, times = np.unique(scores, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(times) - (times - 1) / 2)[at]
        second = self.labels == 1
        above = ranks[second].sum() - second.sum() * (second.sum() + 1) / 2
        return float(above / (second.sum() * (~second).sum()))

    def measures(self) -> dict[str, float]:
        """See `Predictions`. Log loss comes first, since honest probabilities minimise it."""
        stated = {"log_loss": self.loss, "accuracy": self.accuracy, "brier": self.brier}
        if self.probabilities.shape[1] == 2 and len(np.unique(self.labels)) == 2:
            stated["roc_auc"] = self.roc_auc
        return stated

    def summary(self) -> dict[str, str]:
        """See `Predictions`."""
        low, high = self.accuracy_interval()
        said = {name: f"{value:.4f}" for name, value in self.measures().items()}
        said["accuracy"] = f"{self.accuracy:.2%}  ({low:.2%} to {high:.2%} with 95 % confidence)"
        return {**said, "records": f"{len(self.labels)}"}

    def skill(self, training: Array) -> float:
        """See `Predictions`: by the mean probability of the truth."""
        chance = float(np.bincount(training).max() / len(training))
        return (self.belief - chance) / (1 - chance)

    def confusion(self) -> Indices:
        """How often each true class (row) was taken for each class (column), (K, K)."""
        classes = self.probabilities.shape[1]
        cells = np.bincount(self.labels * classes + self.guesses, minlength=classes * classes)
        return cells.reshape(classes, classes)

    def worst_mistakes(self, most: int) -> Indices:
        """See `Predictions`: wrong guesses only."""
        wrong = np.flatnonzero(self.guesses != self.labels)
        return wrong[np.argsort(-self.losses[wrong], kind="stable")][:most]


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression(Predictions):
    """Of each record, a number, in the unit of the labels."""

    guesses: Array  # (N,)

    @property
    def residuals(self) -> Array:
        """Truth less guess, (N,)."""
        return self.labels.astype(np.float64) - self.guesses

    def measures(self) -> dict[str, float]:
        """See `Predictions`. RMSE and MAE are in the unit of the labels, R² is a share."""
        squares = self.residuals**2
        rmse, mae = float(np.sqrt(squares.mean())), float(np.abs(self.residuals).mean())
        variance = float(self.labels.var(dtype=np.float64))
        explained = {"r2": 1 - float(squares.mean()) / variance} if variance > 0 else {}
        return {"rmse": rmse, "mae": mae, **explained}

    def summary(self) -> dict[str, str]:
        """See `Predictions`."""
        low, high = interval([self.at(rows).measures() for rows in resamples(len(self.labels))])
        said = {
            name: f"{value:.4g}  ({low[name]:.4g} to {high[name]:.4g} with 95 % confidence)"
            for name, value in self.measures().items()
        }
        return {**said, "loss": f"{self.loss:.4f}", "records": f"{len(self.labels)}"}

    def skill(self, training: Array) -> float:
        """See `Predictions`: R², measured from the mean of the training split."""
        guess = training.mean(dtype=np.float64)
        return float(1 - (self.residuals**2).sum() / ((self.labels - guess) ** 2).sum())

    def worst_mistakes(self, most: int) -> Indices:
        """See `Predictions`."""
        return np.argsort(-np.abs(self.residuals), kind="stable")[:most]


def resamples(records: int) -> Iterator[Indices]:
    """Rows drawn with replacement, (N,), again and again, the same at each call: a bootstrap."""
    random = np.random.default_rng(0)
    for _ in range(min(1000, max(100, 10**7 // records))):  # fewer of many records: seconds, still
        yield random.integers(0, records, size=records)


def interval(drawn: list[dict[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Between what values 95 % of each measure lie: a percentile interval, Efron (1979)."""
    ends: list[dict[str, float]] = []
    for share in (0.025, 0.975):
        values = {name: [each[name] for each in drawn if name in each] for name in drawn[0]}
        ends.append({name: float(np.quantile(each, share)) for name, each in values.items()})
    return ends[0], ends[1]


@torch.inference_mode()
def predict(model: nn.Module, dataset: Dataset, batch_size: int) -> Predictions:
    """Ask the network about every record, in float32 and without dropout or augmentation."""
    place = next(model.parameters()).device
    was_training = model.training
    model.eval()
    answers: list[torch.Tensor] = []
    costs: list[torch.Tensor] = []
    for batch in dataset.plain().in_order(batch_size):
        inputs, labels = Batch(*(tensor.to(place) for tensor in batch))
        outputs = model(inputs)
        answers.append(outputs.float().cpu())
        costs.append(losses(outputs, labels).cpu())
    model.train(was_training)
    found, cost = torch.cat(answers), torch.cat(costs).numpy()
    if dataset.classes:
        probabilities = found.softmax(dim=1).numpy()
        return Classification(labels=dataset.labels, losses=cost, probabilities=probabilities)
    return Regression(labels=dataset.labels, losses=cost, guesses=found[:, 0].numpy())


def untrained_loss(dataset: Dataset) -> float:
    """The mean loss of a network that knows nothing yet.

    Every class is as probable, log K; or the mean is guessed, a variance of 1: see `losses`.
    """
    return math.log(len(dataset.classes)) if dataset.classes else 1.0
