# Yours: an update never touches this file.
"""A small convolutional network.

Shapes: B images in a batch, C channels, H by W pixels, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import ModelConfig


class Network(nn.Module):
    """Two convolutions and a linear layer: enough for digits, small enough to read."""

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], outputs: int) -> None:
        """Take the shape of one prepared record, (C, H, W), and the number of classes, K."""
        super().__init__()
        channels, height, width = shape
        self.layers = nn.Sequential(
            nn.Conv2d(channels, config.channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(config.channels, 2 * config.channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * config.channels * (height // 2) * (width // 2), outputs),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits, (B, K)."""
        return self.layers(x_BCHW)


def losses(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """The loss of each record, (B,): cross-entropy in nats. A uniform guess has log K."""
    return torch.nn.functional.cross_entropy(logits_BK.float(), labels_B, reduction="none")
