# Yours: an update never touches this file.
"""From a row of the table to what the network sees, and the noise that training adds to it.

Nothing here is learned from data: the bounds are those that `source.py` states. What is learned,
means and categories, is learned by the network, from the training split alone.

Shapes: B rows in a batch, C columns.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ..config import FeaturesConfig
from ..data.source import COLUMNS
from ..data.table import Numeric
from ..protocols import Array, Keeps

LOW = np.array([column.low for column in COLUMNS.values()], dtype=np.float64)  # (C,)
HIGH = np.array([column.high for column in COLUMNS.values()], dtype=np.float64)
IS_NUMERIC = np.array([isinstance(column, Numeric) for column in COLUMNS.values()])
KEEPS = {
    "prepare": Keeps(dtype=False, low=-1, high=1),
    "augment": Keeps(low=-1, high=1),
}


def prepare(inputs: Array) -> Array:
    """Rows (B, C), each column's bounds brought to -1..1, in float32; NaN stays NaN.

    Before, so that a year or an amount of money keeps its last digits. What stands for a category
    keeps 24 of its 48 bits: two of a column are taken for one in 1 of 16 million pairs.
    """
    return ((inputs - LOW) / (HIGH - LOW) * 2 - 1).astype(np.float32)


def augment(inputs: Array, random: np.random.Generator, config: FeaturesConfig) -> Array:
    """Add noise to numbers, in proportion to how far they spread, and hide some cells.

    Hidden cells teach the network to do without: in training, nothing may be missing where
    something is later.

    Args:
        inputs: prepared rows, (B, C).
        random: the only source of chance, so that a batch can be made again.
        config: how much.
    """
    noisy = IS_NUMERIC & ~np.isnan(inputs).all(axis=0)
    spread = np.zeros(inputs.shape[1], dtype=np.float32)
    spread[noisy] = np.nanstd(inputs[:, noisy], axis=0)
    noise = random.standard_normal(inputs.shape, dtype=np.float32) * np.float32(config.noise)
    hidden = random.random(inputs.shape, dtype=np.float32) < config.hidden
    return np.where(hidden, np.float32(np.nan), np.clip(inputs + noise * spread, -1, 1))


def draw(axes: Axes, inputs: Array) -> None:
    """Show one prepared row, (C,), to a person: its numbers between their bounds."""
    names = np.array(list(COLUMNS))
    axes.barh(names[IS_NUMERIC], np.nan_to_num(inputs[IS_NUMERIC]), color="gray")
    axes.set_xlim(-1, 1)
