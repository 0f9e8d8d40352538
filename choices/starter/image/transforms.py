# Yours: an update never touches this file.
"""Preprocessing and augmentation of a batch of images.

Shapes: B images, C channels, H by W pixels.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..settings import FeaturesConfig

if TYPE_CHECKING:  # half a second, which `train` doesn't need
    from matplotlib.axes import Axes

RANGE = (0.0, 1.0)
"""Smallest and largest value after preprocessing; the command `features` checks it."""


def preprocess(images: Tensor) -> Tensor:
    """uint8 images (B, H, W) or (B, H, W, C) to float32 (B, C, H, W) in [0, 1]."""
    channels_first = images[:, None] if images.ndim == 3 else images.movedim(-1, 1)
    return channels_first.float() / 255


def augment(images: Tensor, rng: torch.Generator, config: FeaturesConfig) -> Tensor:
    """Random translation, flip and noise. The label stays valid.

    Args:
        images: preprocessed, (B, C, H, W).
        rng: the only source of randomness, so that a resumed run sees the same batches.
        config: how strong.
    """
    shift, (batch, _, height, width) = config.max_shift, images.shape
    padded = pad(images, (shift, shift, shift, shift))
    rows = torch.randint(2 * shift + 1, (batch, 1), generator=rng) + torch.arange(height)
    columns = torch.randint(2 * shift + 1, (batch, 1), generator=rng) + torch.arange(width)
    if config.flip:
        flipped = torch.rand(batch, generator=rng) < 0.5
        columns[flipped] = columns[flipped].flip(1)

    # Indexing with tensors around a slice moves the channels to the end.
    image = torch.arange(batch)[:, None, None]
    shifted = padded[image, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
    noise = torch.randn(shifted.shape, generator=rng) * config.noise
    return (shifted + noise).clamp(0, 1)


def plot_example(axes: "Axes", image: Tensor) -> None:
    """Draw one preprocessed image, (C, H, W)."""
    if len(image) == 3:
        axes.imshow(image.movedim(0, -1))
    else:
        axes.imshow(image[0], cmap="gray_r", vmin=0, vmax=1)
    axes.set_axis_off()
