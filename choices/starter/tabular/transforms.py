# Yours: an update never touches this file.
"""Preprocessing and augmentation of a batch of rows.

Nothing here is learned from data. What has to be learned, such as means and categories, the model
learns from the training split: `Network.adapt`.

Shapes: B rows, C inputs per row; each is a number and a category, of which one or both are NaN.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..settings import FeaturesConfig

if TYPE_CHECKING:  # half a second, which `train` doesn't need
    from matplotlib.axes import Axes

RANGE = (-70.0, 70.0)
"""Smallest and largest value after preprocessing; the command `features` checks it."""


def preprocess(rows: Tensor) -> Tensor:
    """asinh of the numbers: linear near 0 and logarithmic far from it, for long tails.

    It depends on no data. The model then standardizes each column, with and without asinh, by its
    training rows.
    """
    numbers, categories = rows.unbind(dim=-1)
    return torch.stack([numbers.asinh(), categories], dim=-1)


def augment(rows: Tensor, rng: torch.Generator, config: FeaturesConfig) -> Tensor:
    """Add noise to the numbers, and mask some cells.

    Masked cells teach the model to do without a value, also in a column where none is missing yet.

    Args:
        rows: preprocessed, (B, C, 2).
        rng: the only source of randomness, so that a resumed run sees the same batches.
        config: how strong.
    """
    numbers, categories = rows.unbind(dim=2)
    deviation = (numbers - numbers.nanmean(dim=0)).square().nanmean(dim=0).sqrt().nan_to_num()
    noise = torch.randn(numbers.shape, generator=rng) * deviation * config.noise
    masked = torch.rand(numbers.shape, generator=rng) < config.masking
    return torch.stack([numbers + noise, categories], dim=2).masked_fill(
        masked[:, :, None], torch.nan
    )


def plot_example(axes: "Axes", row: Tensor) -> None:
    """Draw the numbers of one preprocessed row, (C, 2), in the order of the table's columns."""
    numbers = row[:, 0].nan_to_num().tolist()
    axes.barh(range(len(numbers)), numbers, color="gray")
    axes.invert_yaxis()
    axes.tick_params(labelsize=4)
