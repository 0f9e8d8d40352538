# Yours: an update never touches this file.
"""Preprocessing and augmentation of a batch of rows.

Shapes: B rows, C columns.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..settings import FeaturesConfig

if TYPE_CHECKING:  # half a second, which `train` doesn't need
    from matplotlib.axes import Axes

RANGE = (-math.inf, math.inf)
"""Smallest and largest value after preprocessing; the command `features` checks it."""


def preprocess(rows: Tensor) -> Tensor:
    """float32 rows (B, C), unchanged: the model learns how to scale them, in `Network.adapt`."""
    return rows


def augment(rows: Tensor, rng: torch.Generator, config: FeaturesConfig) -> Tensor:
    """Add Gaussian noise. The label stays valid.

    Args:
        rows: preprocessed, (B, C).
        rng: the only source of randomness, so that a resumed run sees the same batches.
        config: how strong.
    """
    deviation = rows.std(dim=0, correction=0)
    return rows + torch.randn(rows.shape, generator=rng) * deviation * config.noise


def plot_example(axes: "Axes", row: Tensor) -> None:
    """Draw one preprocessed row, (C,)."""
    axes.bar(range(len(row)), row, color="gray")
    axes.set_xticks([])
