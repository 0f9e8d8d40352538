# The template's: updates improve this file and keep your edits.
"""What the network says about a split, and the numbers that sum it up.

Shapes: N records in the split, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..data.dataset import Dataset
from ..models.network import losses
from ..protocols import Array, Batch, Indices
from .calibration import Reliability, reliability
from .intervals import bootstrap, of_share, told
from .slices import Scores


@dataclass(frozen=True, slots=True)
class Predictions:
    """The network's answer for each record of a split."""

    labels: Indices  # (N,), the truth
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
        """Share of the records whose most probable class is the true one."""
        return float((self.guesses == self.labels).mean())

    @property
    def belief(self) -> float:
        """Mean probability of the true class."""
        return float(self.probabilities[np.arange(len(self.labels)), self.labels].mean())

    def metrics(self) -> dict[str, float]:
        """What is logged of held-out records."""
        return {"loss": self.loss, "accuracy": self.accuracy}

    def skill(self, training: Array) -> float:
        """0 for a guess that knows only how often each label occurs in training, 1 for certainty.

        By the mean probability of the truth, which doesn't hang on near ties.

        Args:
            training: the labels of the training split, (N,).
        """
        chance = float(np.bincount(training).max() / len(training))
        return (self.belief - chance) / (1 - chance)

    def calibration(self) -> Reliability:
        """How sure it is of its guesses, and how often they are right."""
        return reliability(self.probabilities.max(axis=1), self.guesses == self.labels)

    def scores(self) -> Scores:
        """By which parts of the split are compared."""
        right = (self.guesses == self.labels).astype(np.float64)
        return Scores("accuracy", right, np.ones(len(right)), more_is_better=True)

    def summary(self) -> dict[str, str]:
        """What is said first about a model."""
        records = len(self.labels)
        ends = bootstrap(lambda rows: {"loss": self.losses[rows].mean(dtype=np.float64)}, records)
        return {
            "accuracy": told(self.accuracy, of_share(self.accuracy, records), ".2%"),
            "loss": told(self.loss, ends["loss"]),
            "calibration error": self.calibration().told(),
            "records": f"{records}",
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
    """Ask the network about every record, in float32 and without dropout or augmentation."""
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
