# Yours: an update never touches this file.
"""Preprocessing and augmentation of a batch of windows.

Shapes: B windows of T tokens.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data.source import TOKENIZER
from ..settings import FeaturesConfig

if TYPE_CHECKING:  # half a second, which `train` doesn't need
    from matplotlib.axes import Axes

RANGE = (0, TOKENIZER.size - 1)
"""Smallest and largest value after preprocessing; the command `features` checks it."""


def preprocess(tokens_BT: Tensor) -> Tensor:
    """Tokens of any integer type to int64."""
    return tokens_BT.long()


def augment(tokens_BT: Tensor, rng: torch.Generator, config: FeaturesConfig) -> Tensor:
    """Replace some of the inputs by random tokens; the targets stay as they are.

    Useful if the text is shown many times. Source: Xie et al. (https://arxiv.org/abs/1703.02573),
    whose unigram noise is uniform here.

    Args:
        tokens_BT: preprocessed.
        rng: the only source of randomness, so that a resumed run sees the same batches.
        config: how many.
    """
    if config.corruption == 0:
        return tokens_BT
    corrupted_BT = torch.rand(tokens_BT.shape, generator=rng) < config.corruption
    random_BT = torch.randint(TOKENIZER.size, tokens_BT.shape, generator=rng)
    return torch.where(corrupted_BT, random_BT, tokens_BT)


def plot_example(axes: "Axes", tokens_T: Tensor) -> None:
    """Draw the beginning of one preprocessed window."""
    text = TOKENIZER.decode(tokens_T.numpy()).decode(errors="replace")
    printable = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
    lines = [line[:32] for line in printable.splitlines()[:14]]
    axes.text(0, 1, "\n".join(lines), va="top", family="monospace", fontsize=3.5, parse_math=False)
    axes.set_axis_off()
