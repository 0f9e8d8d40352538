# Yours: an update never touches this file.
"""The model and its loss.

Shapes: B images in a batch, C channels, H by W pixels, K classes.
"""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..settings import ModelConfig


class Network(nn.Module):
    """A small convolutional network.

    Args:
        config: its hyperparameters.
        shape: of one preprocessed image, (C, H, W).
        num_outputs: number of classes, K.
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

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits, (B, K)."""
        return self.layers(x_BCHW)

    def postprocess(self, logits_BK: Tensor) -> Tensor:
        """Predictions, as metrics and `predict` use them: class probabilities, (B, K)."""
        return logits_BK.float().softmax(dim=1)


def per_example_loss(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Cross-entropy in nats, (B,)."""
    return cross_entropy(logits_BK.float(), labels_B, reduction="none")
