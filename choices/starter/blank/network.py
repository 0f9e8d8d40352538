# Yours: an update never touches this file.
"""The model and its loss.

Shapes: B rows in a batch, C columns, K classes.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..settings import ModelConfig


class Network(nn.Module):
    """A multilayer perceptron with two hidden layers.

    Args:
        config: its hyperparameters.
        shape: of one preprocessed row, (C,).
        num_outputs: number of classes, K; or 1 to predict a number.
    """

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        (columns,) = shape
        self.mean = nn.Buffer(torch.zeros(columns))
        self.deviation = nn.Buffer(torch.ones(columns))
        self.layers = nn.Sequential(
            nn.Linear(columns, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, num_outputs),
        )
        self.is_regression = num_outputs == 1
        self.target_mean = nn.Buffer(torch.tensor(0.0))
        self.target_deviation = nn.Buffer(torch.tensor(1.0))

    def adapt(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn means and standard deviations from the training split, before the first step.

        Args:
            batches: preprocessed rows, (B, C), and targets, (B,).
        """
        # All at once, for a table that fits into memory.
        inputs, targets = zip(*batches, strict=True)
        x_NC, targets_N = torch.cat(inputs), torch.cat(targets)
        deviation = x_NC.std(dim=0, correction=0)
        self.mean.copy_(x_NC.mean(dim=0))
        self.deviation.copy_(deviation.masked_fill(deviation < 1e-6, 1))  # constant columns
        if self.is_regression:
            self.target_mean.copy_(targets_N.mean())
            self.target_deviation.copy_(targets_N.std(correction=0).clamp(min=1e-6))

    def forward(self, x_BC: Tensor) -> Tensor:
        """Logits, (B, K); or (B, 2): the predicted number, and the unit in which its loss is."""
        outputs = self.layers((x_BC - self.mean) / self.deviation).float()
        if not self.is_regression:
            return outputs
        number_B1 = self.target_mean + self.target_deviation * outputs
        return torch.cat([number_B1, self.target_deviation.expand_as(number_B1)], dim=1)

    def postprocess(self, outputs: Tensor) -> Tensor:
        """Predictions, as metrics and `predict` use them: class probabilities (B, K), or (B,)."""
        return outputs[:, 0] if self.is_regression else outputs.softmax(dim=1)


def per_example_loss(outputs: Tensor, targets_B: Tensor) -> Tensor:
    """Of each row, (B,).

    For classes the cross-entropy in nats. For a number the squared error, in variances of the
    training targets: a model that always predicts their mean has 1.
    """
    if targets_B.is_floating_point():
        number_B, unit_B = outputs.unbind(dim=1)
        return ((number_B - targets_B) / unit_B).square()
    return cross_entropy(outputs, targets_B, reduction="none")
