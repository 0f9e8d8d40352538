# The template's: updates improve this file and keep your edits.
"""How well the network predicts the text of a split, and how it goes on with a text itself.

Shapes: N windows in the split, T tokens in a window, D documents, V tokens in the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..data.dataset import Dataset
from ..models.network import losses
from ..protocols import Array, Indices
from .calibration import Reliability, pooled
from .intervals import bootstrap, told
from .slices import Scores

CELLS = 1000  # of probability, in which the answers are counted


@dataclass(frozen=True, slots=True)
class Predictions:
    """What it costs the network to be told the text, token by token."""

    documents: Indices  # (D,), the rows of those asked about
    nats: Array  # (D,), float64, of each document's tokens
    bytes: Array  # (D,), float64, that those tokens stand for
    by_place: Array  # (T,), float64, mean loss of each place in the window
    counts: Indices  # (V,), how often each token was to be predicted
    asked: Array  # (D,), float64, tokens of each document
    sureness: Array  # (3, CELLS), float64, by the probability of the likeliest token: how many,
    # the sum of their probabilities, how many of them were right

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

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Between what values the metrics of unseen documents lie.

        The documents are drawn anew, since what stands in one of them isn't independent.
        """

        def measure(rows: Indices) -> dict[str, float]:
            nats = self.nats[rows].sum()
            bits = nats / self.bytes[rows].sum() / math.log(2)
            return {"loss": nats / self.asked[rows].sum(), "bits_per_byte": bits}

        return bootstrap(measure, len(self.nats))

    def calibration(self) -> Reliability:
        """How sure it is of the likeliest token, and how often that is the one that follows."""
        return pooled(self.sureness)

    def scores(self) -> Scores:
        """By which parts of the split are compared, a document each."""
        return Scores("bits per byte", self.nats / math.log(2), self.bytes, more_is_better=False)

    def summary(self) -> dict[str, str]:
        """What is said first about a model; what lies between is over documents."""
        ends = self.intervals()
        return {
            "bits per byte": told(self.bits_per_byte, ends["bits_per_byte"]),
            "loss": told(self.loss, ends["loss"]),
            "calibration error": self.calibration().told(),
            "tokens": f"{self.tokens}",
            "documents": f"{len(self.nats)}",
        }


@torch.inference_mode()
def predict(model: nn.Module, dataset: Dataset, batch_size: int) -> Predictions:
    """Ask the network about every token, in float32 and without dropout or corruption."""
    device, documents, (length,) = _device(model), dataset.documents, dataset.shape
    was_training = model.training
    model.eval()
    nats_D, asked_D = np.zeros(len(documents.names)), np.zeros(len(documents.names))
    by_place_T, counts_V = np.zeros(length), np.zeros(dataset.outputs, dtype=np.int64)
    sureness = np.zeros((3, CELLS))
    later_T = np.arange(1, length + 1)
    for number, batch in enumerate(dataset.plain().in_order(batch_size)):
        inputs, labels = (tensor.to(device) for tensor in batch)
        logits_BTV = model(inputs)
        costs_BT = _each(logits_BTV, labels).double().cpu().numpy()
        sureness += _sureness(logits_BTV, labels)
        places_B = np.array(dataset.places[number * batch_size : (number + 1) * batch_size])
        owners_BT = documents.of(places_B[:, None] + later_T)
        np.add.at(nats_D, owners_BT, costs_BT)
        np.add.at(asked_D, owners_BT, 1)
        by_place_T += costs_BT.sum(axis=0)
        counts_V += np.bincount(batch.labels.numpy().ravel(), minlength=len(counts_V))
    model.train(was_training)
    rows_D = np.flatnonzero(asked_D)
    bytes_D = documents.bytes * asked_D / documents.tokens
    by_place_T /= len(dataset)
    return Predictions(
        rows_D, nats_D[rows_D], bytes_D[rows_D], by_place_T, counts_V, asked_D[rows_D], sureness
    )


def _each(logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
    """The loss of each token, (B, T): the network's own, asked about one token at a time."""
    alone = losses(logits_BTV.flatten(0, 1)[:, None], labels_BT.flatten()[:, None])
    return alone.view(labels_BT.shape)


def _sureness(logits_BTV: Tensor, labels_BT: Tensor) -> Array:
    """The probabilities of the likeliest tokens, counted by their cells: see `Predictions`."""
    logits_BTV = logits_BTV.float()
    highest_BT, guesses_BT = logits_BTV.max(dim=-1)
    sure = (highest_BT - logits_BTV.logsumexp(dim=-1)).exp().flatten().double().cpu().numpy()
    right = (guesses_BT == labels_BT).flatten().cpu().numpy()
    cells = np.minimum((sure * CELLS).astype(np.int64), CELLS - 1)
    weights = (np.ones(len(sure)), sure, right)
    return np.stack([np.bincount(cells, each, CELLS) for each in weights])


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
