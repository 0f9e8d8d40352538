# The template's: updates improve this file and keep your edits.
"""The model's predictions for a split, and their metrics.

Shapes: N examples in the split, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.dataset import Dataset
from ..models.network import losses
from ..protocols import Array, Batch, Indices
from .intervals import bootstrap, format_interval


@dataclass(frozen=True, slots=True)
class Predictions:
    """The model's prediction for each example of a split."""

    labels: Indices  # (N,), ground truth
    probabilities: Array  # (N, K), float32
    losses: Array  # (N,), float32

    @property
    def guesses(self) -> Indices:
        """The most probable class of each record, (N,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def loss(self) -> float:
        """Mean over the records."""
        return float(self.losses.mean(dtype=np.float64))

    @property
    def accuracy(self) -> float:
        """Fraction of the examples whose most probable class is the true one."""
        return float((self.guesses == self.labels).mean())

    @property
    def belief(self) -> float:
        """Mean probability of the true class."""
        return float(self.probabilities[np.arange(len(self.labels)), self.labels].mean())

    def metrics(self) -> dict[str, float]:
        """What is logged for held-out examples."""
        return {"loss": self.loss, "accuracy": self.accuracy}

    def skill(self, training: Array) -> float:
        """0 for a guess that knows only how often each label occurs in training, 1 for certainty.

        By the mean probability of the truth, which doesn't hang on near ties.

        Args:
            training: the labels of the training split, (N,).
        """
        chance = float(np.bincount(training).max() / len(training))
        return (self.belief - chance) / (1 - chance)

    def summary(self) -> dict[str, str]:
        """The metrics with their confidence intervals."""
        correct, examples = self.guesses == self.labels, len(self.labels)

        def metrics(rows: Indices) -> dict[str, float]:
            loss = self.losses[rows].mean(dtype=np.float64)
            return {"accuracy": float(correct[rows].mean()), "loss": float(loss)}

        intervals = bootstrap(metrics, examples)
        return {
            "accuracy": format_interval(self.accuracy, intervals["accuracy"], ".2%"),
            "loss": format_interval(self.loss, intervals["loss"]),
            "examples": f"{examples}",
        }

    @property
    def rows(self) -> Indices:
        """The examples of the split that the predictions are for."""
        return np.arange(len(self.labels))

    def columns(self, dataset: Dataset) -> Mapping[str, Any]:
        """The columns of predictions.csv."""
        names = np.array(dataset.classes, dtype=object)
        return {
            "id": dataset.ids,
            "label": names[self.labels],
            "predicted": names[self.guesses],
            "confidence": self.probabilities.max(axis=1),
            "loss": self.losses,
        }

    def confusion(self) -> Indices:
        """How often each true class (row) was taken for each class (column), (K, K)."""
        classes = self.probabilities.shape[1]
        cells = np.bincount(self.labels * classes + self.guesses, minlength=classes * classes)
        return cells.reshape(classes, classes)

    def worst_mistakes(self, most: int) -> Indices:
        """The rows of the wrong guesses with the highest loss, worst first."""
        wrong = np.flatnonzero(self.guesses != self.labels)
        return wrong[np.argsort(-self.losses[wrong], kind="stable")][:most]


@torch.inference_mode()
def predict(model: nn.Module, dataset: Dataset, batch_size: int) -> Predictions:
    """Predict every example, in float32 and without dropout or augmentation."""
    place = next(model.parameters()).device
    was_training = model.training
    model.eval()
    probabilities: list[torch.Tensor] = []
    costs: list[torch.Tensor] = []
    for batch in dataset.plain().in_order(batch_size):
        inputs, labels = Batch(*(tensor.to(place) for tensor in batch))
        logits = model(inputs)
        probabilities.append(logits.float().softmax(dim=1).cpu())
        costs.append(losses(logits, labels).cpu())
    model.train(was_training)
    return Predictions(dataset.labels, torch.cat(probabilities).numpy(), torch.cat(costs).numpy())


def untrained_loss(dataset: Dataset) -> float:
    """The mean loss of a network that knows nothing yet: every class is as probable, log K."""
    return math.log(len(dataset.classes))
