# Yours: an update never touches this file.
"""A residual multilayer perceptron behind a layer that has learned what the columns hold.

Shapes: B rows in a batch, C columns, of which N are numeric and M categorical; V categories of a
column that are told apart, E numbers an embedding, K classes, W the width of the layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..data.source import COLUMNS
from ..data.table import Numeric
from ..protocols import Array

NUMERIC = [at for at, column in enumerate(COLUMNS.values()) if isinstance(column, Numeric)]
CATEGORICAL = [at for at in range(len(COLUMNS)) if at not in NUMERIC]
MISSING, OTHER, KNOWN = 0, 1, 2  # places of a column's embeddings; the known categories come last
TALLIED = 2**17  # categories of a column that are counted at once


class Network(nn.Module):
    """Blocks that each add to what they are given, as in https://arxiv.org/abs/2106.11959.

    With LayerNorm for their BatchNorm, so that a row's answer doesn't hang on its batch.
    """

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], outputs: int) -> None:
        """Take the shape of one prepared row, (C,), and how many classes there are; 1: a number."""
        super().__init__()
        assert shape == (len(COLUMNS),)
        self.encode = Encoder(config)
        self.blocks = nn.Sequential(
            nn.Linear(self.encode.width, config.width),
            *(Block(config) for _ in range(config.blocks)),
            nn.LayerNorm(config.width),
            nn.ReLU(),
            nn.Linear(config.width, outputs),
        )
        self.is_regression = outputs == 1
        self.register_buffer("target", torch.tensor([0.0, 1.0]))  # mean, standard deviation
        self.target: Tensor

    def learn(self, batches: Iterable[tuple[Array, Array]]) -> None:
        """Learn from the training split, before the first step, what the columns hold.

        Args:
            batches: prepared rows (B, C) with their labels (B,).
        """
        numbers, target = Moments(len(NUMERIC)), Moments(1)
        tallies = [Counter[float]() for _ in CATEGORICAL]
        for inputs_BC, labels_B in batches:
            numbers.add(inputs_BC[:, NUMERIC])
            target.add(labels_B[:, None])
            for tally, at in zip(tallies, CATEGORICAL, strict=True):
                _count(tally, inputs_BC[:, at])
        self.encode.remember(numbers, tallies)
        if self.is_regression:
            self.target.copy_(torch.tensor([*target.mean, *target.deviation]))

    def forward(self, x_BC: Tensor) -> Tensor:
        """Logits, (B, K); or for a number, (B, 2): what it is, and the unit of its loss."""
        outputs = self.blocks(self.encode(x_BC)).float()
        if not self.is_regression:
            return outputs
        mean, deviation = self.target
        return torch.cat([mean + deviation * outputs, deviation.expand(len(outputs), 1)], dim=1)


def losses(outputs: Tensor, labels_B: Tensor) -> Tensor:
    """The loss of each row, (B,).

    Of a class the cross-entropy in nats: a uniform guess has log K. Of a number the squared error,
    in variances of the training split: guessing its mean has 1.
    """
    if labels_B.is_floating_point():
        guess_B, unit_B = outputs.float().unbind(dim=1)
        return ((guess_B - labels_B) / unit_B).square()
    return nn.functional.cross_entropy(outputs.float(), labels_B, reduction="none")


class Encoder(nn.Module):
    """A row as numbers of like size: all that is learned from data is kept here, in buffers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        n, m, v = len(NUMERIC), len(CATEGORICAL), config.categories
        self.width = 2 * n + m * config.embedding
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("deviation", torch.ones(n))
        self.register_buffer("known", torch.full((m, v), torch.inf))  # ascending, inf where fewer
        self.mean: Tensor
        self.deviation: Tensor
        self.known: Tensor
        # Nothing is said of a category that training never showed.
        self.embeddings = nn.Parameter(torch.randn(m, KNOWN + v, config.embedding))
        self.embeddings.data[:, OTHER] = 0

    def remember(self, numbers: Moments, tallies: list[Counter[float]]) -> None:
        """Keep means, deviations, and each column's most frequent categories."""
        self.mean.copy_(torch.from_numpy(numbers.mean))
        self.deviation.copy_(torch.from_numpy(numbers.deviation))
        self.known.fill_(torch.inf)
        for known_V, tally in zip(self.known, tallies, strict=True):
            ranked = sorted(tally, key=lambda each: (-tally[each], each))
            kept = sorted(ranked[: len(known_V)])
            known_V[: len(kept)] = torch.tensor(kept)

    def forward(self, x_BC: Tensor) -> Tensor:
        """Numbers standardised, what is missing as the mean and marked; embeddings: (B, 2 N + M E).

        Outliers are bent towards 3 deviations, as in https://arxiv.org/abs/2407.04491.
        """
        x_BN = x_BC[:, NUMERIC]
        missing_BN = x_BN.isnan()
        z_BN = ((x_BN - self.mean) / self.deviation).masked_fill(missing_BN, 0)
        z_BN = z_BN / (1 + (z_BN / 3).square()).sqrt()

        x_MB = x_BC[:, CATEGORICAL].T.contiguous()
        at_MB = torch.searchsorted(self.known, x_MB).clamp(max=self.known.shape[1] - 1)
        is_known_MB = self.known.gather(1, at_MB) == x_MB
        code_MB = torch.where(is_known_MB, at_MB + KNOWN, OTHER).masked_fill(x_MB.isnan(), MISSING)
        e_MBE = self.embeddings[torch.arange(len(code_MB))[:, None], code_MB]
        return torch.cat([z_BN, missing_BN.float(), *e_MBE], dim=1)


class Block(nn.Module):
    """Two layers, the sum of which with their input goes on."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, 2 * config.width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * config.width, config.width),
            nn.Dropout(config.dropout),
        )

    def forward(self, x_BW: Tensor) -> Tensor:
        """The same shape, (B, W)."""
        return x_BW + self.layers(x_BW)


class Moments:
    """Mean and standard deviation of columns, batch by batch; NaN doesn't count.

    In float64, by the update of Chan, Golub and LeVeque (https://doi.org/10.2307/2683386).
    """

    def __init__(self, columns: int) -> None:
        self.count = np.zeros(columns)
        self.mean = np.zeros(columns)
        self._squares = np.zeros(columns)  # of the distances to the mean, summed

    def add(self, values: Array) -> None:
        """Take in one batch, (B, columns)."""
        there = ~np.isnan(values)
        count = there.sum(axis=0)
        total = np.maximum(self.count + count, 1)
        values = np.where(there, values, 0).astype(np.float64)
        mean = values.sum(axis=0) / np.maximum(count, 1)
        shift = np.where(count > 0, mean - self.mean, 0)
        self._squares += (np.where(there, values - mean, 0) ** 2).sum(axis=0)
        self._squares += shift**2 * self.count * count / total
        self.mean += shift * count / total
        self.count += count

    @property
    def deviation(self) -> Array:
        """By column; 1 where nothing varies, so that one can divide by it."""
        deviation = np.sqrt(self._squares / np.maximum(self.count, 1))
        return np.where(deviation > 1e-6 * np.abs(self.mean), deviation, 1)


def _count(tally: Counter[float], values: Array) -> None:
    """Count categories in bounded memory: of more than fit, the rare ones are forgotten.

    What is frequent in the end may be undercounted, as in https://doi.org/10.14778/2367502.2367508.
    """
    each, times = np.unique(values[~np.isnan(values)], return_counts=True)
    tally.update(dict(zip(each.tolist(), times.tolist(), strict=True)))
    if len(tally) > TALLIED:
        kept = tally.most_common(TALLIED // 2)
        tally.clear()
        tally.update(dict(kept))
