# Yours: an update never touches this file.
"""From a scan to what the network sees, and the random changes that training makes to it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ..config import FeaturesConfig
from ..protocols import Array


def prepare(inputs: Array) -> Array:
    """Scans (B, 8, 8) in 0..16 as images (B, 1, 8, 8) in 0..1, for training and evaluation."""
    return inputs[:, None].astype(np.float32) / 16


def augment(inputs: Array, random: np.random.Generator, config: FeaturesConfig) -> Array:
    """Shift each image by whole pixels and add noise; a digit stays the digit that it is.

    Args:
        inputs: prepared images, (B, 1, H, W).
        random: the only source of chance, so that a batch can be made again.
        config: how far, and how strong.
    """
    pad = config.max_shift
    padded = np.pad(inputs, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    batch, _, height, width = inputs.shape
    rows = random.integers(0, 2 * pad + 1, size=(batch, 1)) + np.arange(height)
    columns = random.integers(0, 2 * pad + 1, size=(batch, 1)) + np.arange(width)
    shifted = padded[np.arange(batch)[:, None, None], 0, rows[:, :, None], columns[:, None, :]]
    noise = random.standard_normal(shifted.shape, dtype=np.float32) * np.float32(config.noise)
    return np.clip(shifted + noise, 0, 1)[:, None]


def draw(axes: Axes, inputs: Array) -> None:
    """Show one prepared image, (1, H, W), to a person."""
    axes.imshow(inputs[0], cmap="gray_r", vmin=0, vmax=1)
    axes.set_axis_off()
