# Yours: an update never touches this file.
"""From an image to what the network sees, and the random changes that training makes to it.

Shapes: B images in a batch, C channels, H by W pixels.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ..config import FeaturesConfig
from ..protocols import Array, Keeps

KEEPS = {
    "prepare": Keeps(shape=False, dtype=False, low=0, high=1),
    "augment": Keeps(low=0, high=1, label=0.4),
}
"""What the command `features` looks for."""


def prepare(inputs: Array) -> Array:
    """Images (B, H, W) or (B, H, W, C) in 0..255 as (B, C, H, W) in 0..1."""
    channels = inputs[:, None] if inputs.ndim == 3 else np.moveaxis(inputs, -1, 1)
    return channels.astype(np.float32) / 255


def augment(inputs: Array, random: np.random.Generator, config: FeaturesConfig) -> Array:
    """Shift each image by whole pixels, mirror half of them, add noise; the label stays.

    Args:
        inputs: prepared images, (B, C, H, W).
        random: the only source of chance, so that a batch can be made again.
        config: how far, whether, and how strong.
    """
    pad, (batch, _, height, width) = config.max_shift, inputs.shape
    padded = np.pad(inputs, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    rows = random.integers(0, 2 * pad + 1, size=(batch, 1)) + np.arange(height)
    columns = random.integers(0, 2 * pad + 1, size=(batch, 1)) + np.arange(width)
    if config.flip:
        mirrored = random.random(batch) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    shifted = padded[np.arange(batch)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    shifted = np.moveaxis(shifted, -1, 1)  # indexing has put the channels last
    noise = random.standard_normal(shifted.shape, dtype=np.float32) * np.float32(config.noise)
    return np.clip(shifted + noise, 0, 1)


def draw(axes: Axes, inputs: Array) -> None:
    """Show one prepared image, (C, H, W), to a person."""
    if len(inputs) == 3:
        axes.imshow(np.moveaxis(inputs, 0, -1))
    else:
        axes.imshow(inputs[0], cmap="gray_r", vmin=0, vmax=1)
    axes.set_axis_off()
