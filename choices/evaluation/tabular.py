# The template's: updates improve this file and keep your edits.
"""The model's predictions for a split, and their metrics, for classification and regression.

Shapes: N examples in the split, K classes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from ..data.dataset import Dataset
from ..models.network import losses
from ..protocols import Array, Batch, Indices
from .intervals import Interval, bootstrap, format_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions(ABC):
    """The prediction for each example of a split, the model's or a baseline's."""

    labels: Array  # (N,), ground truth
    losses: Array  # (N,)

    @property
    def loss(self) -> float:
        """Mean over the records."""
        return float(self.losses.mean(dtype=np.float64))

    def metrics(self) -> dict[str, float]:
        """What is logged for held-out examples."""
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

    def intervals(self) -> dict[str, Interval]:
        """The confidence interval of each metric."""
        return bootstrap(lambda rows: self.at(rows).metrics(), len(self.labels))

    @abstractmethod
    def summary(self) -> dict[str, str]:
        """The metrics with their confidence intervals."""

    @property
    def rows(self) -> Indices:
        """The examples of the split that the predictions are for."""
        return np.arange(len(self.labels))

    @abstractmethod
    def columns(self, dataset: Dataset) -> Mapping[str, Any]:
        """The columns of predictions.csv."""

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
        intervals = self.intervals()
        lines = {
            name: format_interval(value, intervals[name]) for name, value in self.measures().items()
        }
        lines["accuracy"] = format_interval(self.accuracy, intervals["accuracy"], ".2%")
        return {**lines, "examples": f"{len(self.labels)}"}

    def columns(self, dataset: Dataset) -> Mapping[str, Any]:
        """See `Predictions`."""
        names = np.array(dataset.classes, dtype=object)
        return {
            "id": dataset.ids,
            "label": names[self.labels],
            "predicted": names[self.guesses],
            "confidence": self.probabilities.max(axis=1),
            "loss": self.losses,
        }

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
        intervals = self.intervals()
        lines = {
            name: format_interval(value, intervals[name], ".4g")
            for name, value in self.measures().items()
        }
        loss = format_interval(self.loss, intervals["loss"])
        return {**lines, "loss": loss, "examples": f"{len(self.labels)}"}

    def columns(self, dataset: Dataset) -> Mapping[str, Any]:
        """See `Predictions`."""
        return {
            "id": dataset.ids,
            "label": self.labels,
            "predicted": self.guesses,
            "loss": self.losses,
        }

    def skill(self, training: Array) -> float:
        """See `Predictions`: R², measured from the mean of the training split."""
        guess = training.mean(dtype=np.float64)
        return float(1 - (self.residuals**2).sum() / ((self.labels - guess) ** 2).sum())

    def worst_mistakes(self, most: int) -> Indices:
        """See `Predictions`."""
        return np.argsort(-np.abs(self.residuals), kind="stable")[:most]


@torch.inference_mode()
def predict(model: nn.Module, dataset: Dataset, batch_size: int) -> Predictions:
    """Predict every example, in float32 and without dropout or augmentation."""
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
