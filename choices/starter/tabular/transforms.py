# Yours: an update never touches this file.
"""Preprocessing and augmentation of a batch of rows.

Nothing here is learned from data: the bounds are those of COLUMNS in data/source.py. What has to be
learned, such as means and categories, the model learns from the training split: `Network.adapt`.

Shapes: B rows, C columns.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data.source import COLUMNS
from ..data.table import Numeric
from ..settings import FeaturesConfig

if TYPE_CHECKING:  # half a second, which `train` doesn't need
    from matplotlib.axes import Axes

LOW = torch.tensor([column.low for column in COLUMNS.values()], dtype=torch.float64)  # (C,)
HIGH = torch.tensor([column.high for column in COLUMNS.values()], dtype=torch.float64)
IS_NUMERIC = torch.tensor([isinstance(column, Numeric) for column in COLUMNS.values()])
RANGE = (-1.0, 1.0)
"""Smallest and largest value after preprocessing; the command `features` checks it."""


def preprocess(rows: Tensor) -> Tensor:
    """float64 rows (B, C) to float32, with each column scaled from its bounds to [-1, 1].

    Scaled in float64, so that a year or an amount of money keeps its last digits. NaN stays NaN.
    """
    return ((rows - LOW) / (HIGH - LOW) * 2 - 1).float()


def augment(rows: Tensor, rng: torch.Generator, config: FeaturesConfig) -> Tensor:
    """Add noise to the numbers, and mask some cells.

    Masked cells teach the model to do without a value, also in a column where none is missing yet.

    Args:
        rows: preprocessed, (B, C).
        rng: the only source of randomness, so that a resumed run sees the same batches.
        config: how strong.
    """
    deviation = (rows - rows.nanmean(dim=0)).square().nanmean(dim=0).sqrt()
    scale = torch.where(IS_NUMERIC, config.noise * deviation.nan_to_num(), 0.0)
    noisy = rows + torch.randn(rows.shape, generator=rng) * scale
    masked = torch.rand(rows.shape, generator=rng) < config.masking
    return noisy.clamp(-1, 1).masked_fill(masked, torch.nan)


def plot_example(axes: "Axes", row: Tensor) -> None:
    """Draw the numbers of one preprocessed row, (C,): each between the bounds of its column."""
    names = [name for name, column in COLUMNS.items() if isinstance(column, Numeric)]
    axes.barh(names, row[IS_NUMERIC].nan_to_num(), color="gray")
    axes.tick_params(labelsize=4)
    axes.set_xlim(-1, 1)
