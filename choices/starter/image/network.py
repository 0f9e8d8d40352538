# Yours: an update never touches this file.
"""The model and its loss.

Shapes: B images in a batch, C channels, H by W pixels, K classes.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..settings import ModelConfig


class Network(nn.Module):
    """A small convolutional network.

    Args:
        config: its hyperparameters.
        shape: of one preprocessed image, (C, H, W).
        num_outputs: number of classes, K; or 1 to predict a number.
    """

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], num_outputs: int) -> None:
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
            nn.Linear(2 * config.channels * (height // 2) * (width // 2), num_outputs),
        )
        self.is_regression = num_outputs == 1
        self.target_mean = nn.Buffer(torch.tensor(0.0))
        self.target_deviation = nn.Buffer(torch.tensor(1.0))

    def adapt(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn the scale of a number to predict from the training split, before the first step.

        Args:
            batches: preprocessed images, (B, C, H, W), and targets, (B,).
        """
        if self.is_regression:
            targets_N = torch.cat([targets for _, targets in batches])
            self.target_mean.copy_(targets_N.mean())
            self.target_deviation.copy_(targets_N.std(correction=0).clamp(min=1e-6))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits, (B, K); or (B, 2): the predicted number, and the unit in which its loss is."""
        outputs = self.layers(x_BCHW).float()
        if not self.is_regression:
            return outputs
        number_B1 = self.target_mean + self.target_deviation * outputs
        return torch.cat([number_B1, self.target_deviation.expand_as(number_B1)], dim=1)

    def postprocess(self, outputs: Tensor) -> Tensor:
        """Predictions, as metrics and `predict` use them: class probabilities (B, K), or (B,)."""
        return outputs[:, 0] if self.is_regression else outputs.softmax(dim=1)


def per_example_loss(outputs: Tensor, targets_B: Tensor) -> Tensor:
    """Of each image, (B,).

    For classes the cross-entropy in nats. For a number the squared error, in variances of the
    training targets: a model that always predicts their mean has 1.
    """
    if targets_B.is_floating_point():
        number_B, unit_B = outputs.unbind(dim=1)
        return ((number_B - targets_B) / unit_B).square()
    return cross_entropy(outputs, targets_B, reduction="none")
