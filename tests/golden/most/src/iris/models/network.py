# Yours: an update never touches this file.
"""A multilayer perceptron.

Shapes: B rows in a batch, C columns, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import ModelConfig


class Network(nn.Module):
    """Two hidden layers behind a layer that standardises the columns."""

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], outputs: int) -> None:
        """Take the shape of one prepared record, (C,), and the number of classes, K."""
        super().__init__()
        (columns,) = shape
        self.layers = nn.Sequential(
            nn.BatchNorm1d(columns, affine=False),  # keeps mean and variance in the checkpoint
            nn.Linear(columns, config.hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, outputs),
        )

    def forward(self, x_BC: Tensor) -> Tensor:
        """Logits, (B, K)."""
        return self.layers(x_BC)


def losses(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """The loss of each record, (B,): cross-entropy in nats. A uniform guess has log K."""
    return torch.nn.functional.cross_entropy(logits_BK.float(), labels_B, reduction="none")
