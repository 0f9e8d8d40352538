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
        num_outputs: number of classes, K.
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

    def adapt(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn means and standard deviations from the training split, before the first step.

        Args:
            batches: preprocessed rows, (B, C), and labels, (B,).
        """
        # All at once, for a table that fits into memory.
        x_NC = torch.cat([inputs for inputs, _ in batches])
        deviation = x_NC.std(dim=0, correction=0)
        self.mean.copy_(x_NC.mean(dim=0))
        self.deviation.copy_(deviation.masked_fill(deviation < 1e-6, 1))  # constant columns

    def forward(self, x_BC: Tensor) -> Tensor:
        """Logits, (B, K)."""
        return self.layers((x_BC - self.mean) / self.deviation)

    def postprocess(self, logits_BK: Tensor) -> Tensor:
        """Predictions, as metrics and `predict` use them: class probabilities, (B, K)."""
        return logits_BK.float().softmax(dim=1)


def per_example_loss(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Cross-entropy in nats, (B,)."""
    return cross_entropy(logits_BK.float(), labels_B, reduction="none")
