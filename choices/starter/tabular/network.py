# Yours: an update never touches this file.
"""The model, a residual multilayer perceptron or gradient boosting, and its loss.

Shapes: B rows in a batch, C inputs per row, F = 2 C features of their numbers, V known categories,
E numbers per embedding, K classes, W the width of the layers.
"""

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..settings import ModelConfig
from .trees import BoostedTrees

# Rows of the table of embeddings: of what isn't a known category, always zero; one that is added to
# every example; and the first category's.
NOTHING, BIAS, FIRST_KNOWN = 0, 1, 2
MAX_COUNTED = 2**20  # categories that `adapt` counts at once


class Network(nn.Module):
    """A perceptron, which is trained by steps; or boosted trees, which `adapt` fits at once.

    Args:
        config: its hyperparameters.
        shape: of one preprocessed row, (C, 2).
        num_outputs: number of classes, K; or 1 to predict a number.
    """

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        num_inputs = shape[0]
        if config.kind == "boosting":
            self.body = BoostedTrees(num_inputs, num_outputs, config.trees)
        else:
            self.body = Perceptron(config, num_inputs, num_outputs)
        self.num_inputs = num_inputs
        self.is_regression = num_outputs == 1
        self.is_balanced = config.class_weights == "balanced"
        # Of numbers to predict, their mean and deviation; of classes, their weights in the loss.
        self.target_mean = nn.Buffer(torch.tensor(0.0))
        self.target_unit_K = nn.Buffer(torch.ones(num_outputs))

    def adapt(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn means, deviations and categories from the training split, before the first step.

        Boosted trees learn all that they ever do.

        Args:
            batches: preprocessed rows, (B, C, 2), and targets, (B,).
        """
        # Of the numbers and the target; NaN doesn't count.
        count, total, squares = torch.zeros(3, 2 * self.num_inputs + 1, dtype=torch.float64)
        categories, classes = Counter[float](), Counter[int]()
        rows: list[tuple[Tensor, Tensor]] = []
        for inputs_BC2, targets_B in batches:
            if isinstance(self.body, BoostedTrees):  # only they need all rows in memory
                rows.append((inputs_BC2, targets_B))
            numbers_BF = both_scales(inputs_BC2[..., 0])
            values = torch.cat([numbers_BF, targets_B[:, None]], dim=1).double()
            count += values.isfinite().sum(dim=0)
            total += values.nansum(dim=0)
            squares += values.square().nansum(dim=0)
            categories_BC = inputs_BC2[..., 1]
            categories.update(categories_BC[~categories_BC.isnan()].tolist())
            if len(categories) > MAX_COUNTED:  # forget the rare ones, to bound the memory
                categories = Counter(dict(categories.most_common(MAX_COUNTED // 2)))
            if not self.is_regression:
                classes.update(targets_B.tolist())

        mean = total / count.clamp(min=1)
        deviation = (squares / count.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
        deviation[deviation <= 1e-6 * mean.abs()] = 1  # a constant column
        if isinstance(self.body, BoostedTrees):
            inputs, targets = map(torch.cat, zip(*rows, strict=True))
            if self.is_regression:
                targets = (targets - mean[-1]) / deviation[-1]
            self.body.fit(inputs, targets, balanced=self.is_balanced)
        else:
            self.body.encoder.adapt(mean[:-1], deviation[:-1], categories)
        if self.is_regression:
            self.target_mean.copy_(mean[-1])
            self.target_unit_K.fill_(deviation[-1])
        elif self.is_balanced:
            for label, size in classes.items():
                self.target_unit_K[label] = classes.total() / (len(classes) * size)

    def forward(self, x_BC2: Tensor) -> Tensor:
        """Logits, or the predicted number; then the weights of the classes, or the number's unit.

        The shape is (B, 2 K). `per_example_loss` needs the second half.
        """
        outputs_BK = self.body(x_BC2).float()
        if self.is_regression:
            outputs_BK = self.target_mean + self.target_unit_K * outputs_BK
        return torch.cat([outputs_BK, self.target_unit_K.expand_as(outputs_BK)], dim=1)

    def postprocess(self, outputs: Tensor) -> Tensor:
        """Predictions, as metrics and `predict` use them: class probabilities (B, K), or (B,)."""
        outputs_BK, _ = outputs.float().chunk(2, dim=1)
        return outputs_BK[:, 0] if self.is_regression else outputs_BK.softmax(dim=1)


def per_example_loss(outputs: Tensor, targets_B: Tensor) -> Tensor:
    """Of each row, (B,).

    For classes the cross-entropy in nats, times the weight of the class: see `model.class_weights`.
    For a number the squared error, in variances of the training targets: a model that always
    predicts their mean has 1.
    """
    outputs_BK, unit_BK = outputs.float().chunk(2, dim=1)
    if targets_B.is_floating_point():
        return ((outputs_BK[:, 0] - targets_B) / unit_BK[:, 0]).square()
    weights_B = unit_BK.gather(1, targets_B[:, None])[:, 0]
    return weights_B * cross_entropy(outputs_BK, targets_B, reduction="none")


def both_scales(number_BC: Tensor) -> Tensor:
    """Preprocessed numbers, and what they were before: a long tail needs one, a sum the other."""
    return torch.cat([number_BC, number_BC.sinh()], dim=1)


class Perceptron(nn.Module):
    """Residual blocks as in https://arxiv.org/abs/2106.11959, behind an encoder of the columns.

    With LayerNorm in place of BatchNorm, so that no prediction depends on the rest of its batch.
    """

    def __init__(self, config: ModelConfig, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        self.encoder = Encoder(config, num_inputs)
        self.blocks = nn.Sequential(
            *(Block(config) for _ in range(config.blocks)),
            nn.LayerNorm(config.width),
            nn.ReLU(),
            nn.Linear(config.width, num_outputs),
        )

    def forward(self, x_BC2: Tensor) -> Tensor:
        return self.blocks(self.encoder(x_BC2))


class Encoder(nn.Module):
    """Standardizes numbers and embeds categories. What it learns from data is in its buffers."""

    def __init__(self, config: ModelConfig, num_inputs: int) -> None:
        super().__init__()
        self.mean_F = nn.Buffer(torch.zeros(2 * num_inputs))
        self.deviation_F = nn.Buffer(torch.ones(2 * num_inputs))
        # Hashes, ascending; infinity where there are fewer categories.
        self.known_V = nn.Buffer(torch.full((config.categories,), torch.inf))
        # One table for all columns, since the same text has another hash in each.
        self.embeddings = nn.EmbeddingBag(
            FIRST_KNOWN + config.categories, config.embedding, mode="sum", padding_idx=NOTHING
        )
        self.linear = nn.Linear(3 * num_inputs + config.embedding, config.width, bias=False)

    def adapt(self, mean_F: Tensor, deviation_F: Tensor, categories: Counter[float]) -> None:
        """Keep the statistics, and the most frequent categories."""
        self.mean_F.copy_(mean_F)
        self.deviation_F.copy_(deviation_F)
        by_frequency = sorted(categories, key=lambda category: (-categories[category], category))
        kept = sorted(by_frequency[: len(self.known_V)])
        self.known_V[: len(kept)] = torch.tensor(kept)

    def forward(self, x_BC2: Tensor) -> Tensor:
        """Linear in the standardized numbers, in which cells are missing, and in the embeddings of
        the categories: (B, W)."""
        number_BC, category_BC = x_BC2.unbind(dim=2)
        missing_BC = number_BC.isnan() & category_BC.isnan()
        z_BF = ((both_scales(number_BC) - self.mean_F) / self.deviation_F).nan_to_num(0)
        z_BF = z_BF / (1 + (z_BF / 3).square()).sqrt()  # soft clipping: arxiv.org/abs/2407.04491

        index_BC = torch.searchsorted(self.known_V, category_BC.contiguous())
        index_BC = index_BC.clamp(max=len(self.known_V) - 1)
        is_known_BC = self.known_V[index_BC] == category_BC
        row_BC = torch.where(is_known_BC, index_BC + FIRST_KNOWN, NOTHING)
        bias_B1 = torch.full_like(row_BC[:, :1], BIAS)
        embedded_BE = self.embeddings(torch.cat([bias_B1, row_BC], dim=1))
        return self.linear(torch.cat([z_BF, missing_BC.float(), embedded_BE], dim=1))


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
