# Yours: an update never touches this file.
"""The model, a residual multilayer perceptron, and its loss.

Shapes: B rows in a batch, C columns, of which N are numeric and M categorical; V known categories
of a column, E numbers per embedding, K classes, W the width of the layers.
"""

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data.source import COLUMNS
from ..data.table import Numeric
from ..settings import ModelConfig

NUMERIC = [index for index, column in enumerate(COLUMNS.values()) if isinstance(column, Numeric)]
CATEGORICAL = [index for index in range(len(COLUMNS)) if index not in NUMERIC]
MISSING, UNKNOWN, FIRST_KNOWN = 0, 1, 2  # rows of a column's embedding table
MAX_COUNTED = 2**17  # categories of a column that `adapt` counts at once


class Network(nn.Module):
    """Residual blocks as in https://arxiv.org/abs/2106.11959, behind an encoder of the columns.

    With LayerNorm in place of BatchNorm, so that no prediction depends on the rest of its batch.

    Args:
        config: its hyperparameters.
        shape: of one preprocessed row, (C,).
        num_outputs: number of classes, K; or 1 to predict a number.
    """

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        assert shape == (len(COLUMNS),)
        self.encoder = Encoder(config)
        self.blocks = nn.Sequential(
            nn.Linear(self.encoder.width, config.width),
            *(Block(config) for _ in range(config.blocks)),
            nn.LayerNorm(config.width),
            nn.ReLU(),
            nn.Linear(config.width, num_outputs),
        )
        self.is_regression = num_outputs == 1
        self.target_mean = nn.Buffer(torch.tensor(0.0))
        self.target_deviation = nn.Buffer(torch.tensor(1.0))

    def adapt(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn means, deviations and categories from the training split, before the first step.

        Args:
            batches: preprocessed rows, (B, C), and targets, (B,).
        """
        # Of the numeric columns and the target; NaN doesn't count.
        count, total, squares = torch.zeros(3, len(NUMERIC) + 1, dtype=torch.float64)
        counters = [Counter[float]() for _ in CATEGORICAL]
        for inputs_BC, targets_B in batches:
            values = torch.cat([inputs_BC[:, NUMERIC], targets_B[:, None]], dim=1).double()
            count += values.isfinite().sum(dim=0)
            total += values.nansum(dim=0)
            squares += values.square().nansum(dim=0)
            for counter, index in zip(counters, CATEGORICAL, strict=True):
                column = inputs_BC[:, index]
                counter.update(column[~column.isnan()].tolist())
                if len(counter) > MAX_COUNTED:  # forget the rare ones, to bound the memory
                    frequent = counter.most_common(MAX_COUNTED // 2)
                    counter.clear()
                    counter.update(dict(frequent))

        mean = total / count.clamp(min=1)
        deviation = (squares / count.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
        deviation[deviation <= 1e-6 * mean.abs()] = 1  # a constant column
        self.encoder.adapt(mean[:-1], deviation[:-1], counters)
        self.target_mean.copy_(mean[-1])
        self.target_deviation.copy_(deviation[-1])

    def forward(self, x_BC: Tensor) -> Tensor:
        """Logits, (B, K); or (B, 2): the predicted number, and the unit in which its loss is."""
        outputs = self.blocks(self.encoder(x_BC)).float()
        if not self.is_regression:
            return outputs
        number_B1 = self.target_mean + self.target_deviation * outputs
        return torch.cat([number_B1, self.target_deviation.expand_as(number_B1)], dim=1)

    def postprocess(self, outputs: Tensor) -> Tensor:
        """Predictions, as metrics and `predict` use them: class probabilities (B, K), or (B,)."""
        return outputs[:, 0] if self.is_regression else outputs.float().softmax(dim=1)


def per_example_loss(outputs: Tensor, targets_B: Tensor) -> Tensor:
    """Of each row, (B,).

    For classes the cross-entropy in nats. For a number the squared error, in variances of the
    training targets: a model that always predicts their mean has 1.
    """
    if targets_B.is_floating_point():
        number_B, unit_B = outputs.float().unbind(dim=1)
        return ((number_B - targets_B) / unit_B).square()
    return cross_entropy(outputs.float(), targets_B, reduction="none")


class Encoder(nn.Module):
    """Standardizes numbers and embeds categories. What it learns from data is in its buffers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.width = 2 * len(NUMERIC) + config.embedding * len(CATEGORICAL)
        self.mean = nn.Buffer(torch.zeros(len(NUMERIC)))
        self.deviation = nn.Buffer(torch.ones(len(NUMERIC)))
        # Of each column, ascending; infinity where it has fewer.
        self.known_MV = nn.Buffer(torch.full((len(CATEGORICAL), config.categories), torch.inf))
        rows = FIRST_KNOWN + config.categories
        self.embeddings = nn.Parameter(torch.randn(len(CATEGORICAL), rows, config.embedding))
        self.embeddings.data[:, UNKNOWN] = 0  # never trained, so it should say nothing

    def adapt(self, mean_N: Tensor, deviation_N: Tensor, counters: list[Counter[float]]) -> None:
        """Keep the statistics, and the most frequent categories of each column."""
        self.mean.copy_(mean_N)
        self.deviation.copy_(deviation_N)
        for known_V, counter in zip(self.known_MV, counters, strict=True):
            by_frequency = sorted(counter, key=lambda category: (-counter[category], category))
            kept = sorted(by_frequency[: len(known_V)])
            known_V[: len(kept)] = torch.tensor(kept)

    def forward(self, x_BC: Tensor) -> Tensor:
        """Standardized numbers, which of them are missing, and embeddings: (B, 2 N + M E)."""
        x_BN = x_BC[:, NUMERIC]
        missing_BN = x_BN.isnan()
        z_BN = ((x_BN - self.mean) / self.deviation).masked_fill(missing_BN, 0)
        z_BN = z_BN / (1 + (z_BN / 3).square()).sqrt()  # soft clipping: arxiv.org/abs/2407.04491

        x_MB = x_BC[:, CATEGORICAL].T.contiguous()
        index_MB = torch.searchsorted(self.known_MV, x_MB).clamp(max=self.known_MV.shape[1] - 1)
        is_known_MB = self.known_MV.gather(1, index_MB) == x_MB
        row_MB = torch.where(is_known_MB, index_MB + FIRST_KNOWN, UNKNOWN)
        row_MB = row_MB.masked_fill(x_MB.isnan(), MISSING)
        embedded = [table[rows] for table, rows in zip(self.embeddings, row_MB, strict=True)]
        return torch.cat([z_BN, missing_BN.float(), *embedded], dim=1)


class Block(nn.Module):
    """Two layers, whose output is added to their input."""

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
        return x_BW + self.layers(x_BW)
