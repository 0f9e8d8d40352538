# Yours: an update never touches this file.
"""From a row of the table to what the network sees, and the noise that training adds to it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ..config import FeaturesConfig
from ..protocols import Array, Keeps

KEEPS = {
    "prepare": Keeps(),
    "augment": Keeps(label=0.9),
}
"""What the command `features` looks for."""


def prepare(inputs: Array) -> Array:
    """Rows (B, columns) as they are: the network's first layer learns their scale."""
    return inputs.astype(np.float32)


def augment(inputs: Array, random: np.random.Generator, config: FeaturesConfig) -> Array:
    """Add noise in proportion to how far each column spreads; the label stays as it is.

    Args:
        inputs: prepared rows, (B, columns).
        random: the only source of chance, so that a batch can be made again.
        config: how strong.
    """
    noise = random.standard_normal(inputs.shape, dtype=np.float32)
    return inputs + noise * inputs.std(axis=0) * np.float32(config.noise)


def draw(axes: Axes, inputs: Array) -> None:
    """Show one prepared row, (columns,), to a person."""
    axes.bar(np.arange(len(inputs)), inputs, color="gray")
    axes.set_xticks([])
