# The template's: updates improve this file and keep your edits.
"""How well the model predicts the text of a split, and samples of the text that it generates.

Shapes: N windows in the split, T tokens in a window, D documents, V tokens in the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.dataset import Dataset
from ..models.network import losses
from ..protocols import Array, Indices
from .intervals import Interval, bootstrap, format_interval


@dataclass(frozen=True, slots=True)
class Predictions:
    """The loss of the model on each document."""

    rows: Indices  # (D,), the documents of the split that the predictions are for
    nats: Array  # (D,), float64, of each document's tokens
    bytes: Array  # (D,), float64, that those tokens stand for
    by_place: Array  # (T,), float64, mean loss of each place in the window
    counts: Indices  # (V,), how often each token was to be predicted
    asked: Array  # (D,), float64, tokens of each document
    confidence: Array  # (D,), mean probability of the likeliest token
    correct: Array  # (D,), fraction of the tokens where that is the right one

    @property
    def tokens(self) -> int:
        """That were to be predicted."""
        return int(self.counts.sum())

    @property
    def loss(self) -> float:
        """Nats a token."""
        return float(self.nats.sum() / self.tokens)

    @property
    def bits_per_byte(self) -> float:
        """Bits for a byte of text: a loss that doesn't hang on what a token is."""
        return float(self.nats.sum() / self.bytes.sum() / math.log(2))

    def metrics(self) -> dict[str, float]:
        """What is logged of held-out text."""
        return {"loss": self.loss, "bits_per_byte": self.bits_per_byte}

    def skill(self, training: Array) -> float:
        """0 for a guess that knows only how often each token occurs in training, 1 for certainty.

        Args:
            training: the tokens to be predicted in the training split, (N, T).
        """
        seen = np.ones(len(self.counts))  # of what never occurs, a little
        for first in range(0, len(training), 1024):  # since the corpus may be large
            seen += np.bincount(training[first : first + 1024].ravel(), minlength=len(seen))
        guess = -(self.counts * np.log(seen / seen.sum())).sum() / self.tokens
        return float(1 - self.loss / guess)

    def intervals(self) -> dict[str, Interval]:
        """The confidence interval of each metric.

        Documents are resampled, since the tokens of one aren't independent.
        """

        def measure(rows: Indices) -> dict[str, float]:
            nats = self.nats[rows].sum()
            bits = nats / self.bytes[rows].sum() / math.log(2)
            return {"loss": nats / self.asked[rows].sum(), "bits_per_byte": bits}

        return bootstrap(measure, len(self.nats))

    @property
    def document_bits_per_byte(self) -> Array:
        """Bits per byte of each document, (D,)."""
        return self.nats / np.maximum(self.bytes, 1) / math.log(2)

    def columns(self, dataset: Dataset) -> Mapping[str, Any]:
        """The columns of predictions.csv."""
        return {
            "id": [dataset.documents.names[row] for row in self.rows],
            "confidence": self.confidence,
            "correct": self.correct,
            "loss": self.document_bits_per_byte,
            "weight": self.bytes,
        }

    def summary(self) -> dict[str, str]:
        """The metrics with their confidence intervals."""
        intervals = self.intervals()
        return {
            "bits per byte": format_interval(self.bits_per_byte, intervals["bits_per_byte"]),
            "loss": format_interval(self.loss, intervals["loss"]),
            "tokens": f"{self.tokens}",
            "documents": f"{len(self.nats)}",
        }


@torch.inference_mode()
def predict(model: nn.Module, dataset: Dataset, batch_size: int) -> Predictions:
    """Predict every token, in float32 and without dropout or corruption."""
    device, documents, (length,) = _device(model), dataset.documents, dataset.shape
    was_training = model.training
    model.eval()
    nats_D, asked_D, confidence_D, correct_D = np.zeros((4, len(documents.names)))
    by_place_T, counts_V = np.zeros(length), np.zeros(dataset.outputs, dtype=np.int64)
    later_T = np.arange(1, length + 1)
    for number, batch in enumerate(dataset.plain().in_order(batch_size)):
        inputs, labels = (tensor.to(device) for tensor in batch)
        logits_BTV = model(inputs)
        costs_BT = _each(logits_BTV, labels).double().cpu().numpy()
        confidence_BT, correct_BT = _likeliest(logits_BTV, labels)
        places_B = np.array(dataset.places[number * batch_size : (number + 1) * batch_size])
        owners_BT = documents.of(places_B[:, None] + later_T)
        np.add.at(nats_D, owners_BT, costs_BT)
        np.add.at(asked_D, owners_BT, 1)
        np.add.at(confidence_D, owners_BT, confidence_BT)
        np.add.at(correct_D, owners_BT, correct_BT)
        by_place_T += costs_BT.sum(axis=0)
        counts_V += np.bincount(batch.labels.numpy().ravel(), minlength=len(counts_V))
    model.train(was_training)
    rows = np.flatnonzero(asked_D)
    bytes_D = documents.bytes * asked_D / documents.tokens
    return Predictions(
        rows=rows,
        nats=nats_D[rows],
        bytes=bytes_D[rows],
        by_place=by_place_T / len(dataset),
        counts=counts_V,
        asked=asked_D[rows],
        confidence=confidence_D[rows] / asked_D[rows],
        correct=correct_D[rows] / asked_D[rows],
    )


def _each(logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
    """The loss of each token, (B, T): the network's own, asked about one token at a time."""
    alone = losses(logits_BTV.flatten(0, 1)[:, None], labels_BT.flatten()[:, None])
    return alone.view(labels_BT.shape)


def _likeliest(logits_BTV: Tensor, labels_BT: Tensor) -> tuple[Array, Array]:
    """The probability of the likeliest token, and whether it is the right one, (B, T)."""
    logits_BTV = logits_BTV.float()
    highest_BT, predicted_BT = logits_BTV.max(dim=-1)
    confidence_BT = (highest_BT - logits_BTV.logsumexp(dim=-1)).exp().double()
    return confidence_BT.cpu().numpy(), (predicted_BT == labels_BT.long()).cpu().numpy()


@torch.inference_mode()
def write_on(
    model: nn.Module, prompts: Array, tokens: int, *, seed: int, temperature: float = 0.8
) -> Array:
    """Go on with each prompt, drawing one token after the other.

    Args:
        model: the network.
        prompts: (B, T), as long as the context.
        tokens: how many to write.
        seed: of the drawing; the same seed writes the same text on the same machine.
        temperature: 1 draws as the network believes, less is more cautious.

    Returns:
        What was written, (B, tokens).
    """
    random = torch.Generator().manual_seed(seed)
    was_training, device = model.training, _device(model)
    model.eval()
    text_BT = torch.from_numpy(prompts.astype(np.int64)).to(device)
    context = text_BT.shape[1]
    for _ in range(tokens):
        logits_BV = model(text_BT[:, -context:])[:, -1].float() / temperature
        drawn_B1 = torch.multinomial(logits_BV.softmax(dim=-1).cpu(), 1, generator=random)
        text_BT = torch.cat((text_BT, drawn_B1.to(device)), dim=1)
    model.train(was_training)
    return text_BT[:, context:].cpu().numpy()


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def untrained_loss(dataset: Dataset) -> float:
    """The mean loss of a network that knows nothing yet: every token is as probable, log V."""
    return math.log(dataset.outputs)
