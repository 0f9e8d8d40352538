# Yours: an update never touches this file.
"""Preprocessing and augmentation of a batch of windows.

Shapes: B windows of T tokens.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..settings import FeaturesConfig

if TYPE_CHECKING:  # half a second, which `train` doesn't need
    from matplotlib.axes import Axes

RANGE = (0, math.inf)
"""Smallest and largest value after preprocessing; the command `features` checks it. How many tokens
there are depends on the tokenizer."""


def preprocess(tokens_BT: Tensor) -> Tensor:
    """Tokens of any integer type to int64."""
    return tokens_BT.long()


def augment(tokens_BT: Tensor, rng: torch.Generator, config: FeaturesConfig) -> Tensor:
    """Replace some of the inputs by random tokens of the batch; the targets stay as they are.

    Useful if the text is shown many times. Source: unigram noise of Xie et al.
    (https://arxiv.org/abs/1703.02573).

    Args:
        tokens_BT: preprocessed.
        rng: the only source of randomness, so that a resumed run sees the same batches.
        config: how many.
    """
    if config.corruption == 0:
        return tokens_BT
    corrupted_BT = torch.rand(tokens_BT.shape, generator=rng) < config.corruption
    others_BT = torch.randint(tokens_BT.numel(), tokens_BT.shape, generator=rng)
    return torch.where(corrupted_BT, tokens_BT.flatten()[others_BT], tokens_BT)


def plot_example(axes: "Axes", tokens_T: Tensor) -> None:
    """Draw the beginning of one preprocessed window: bytes as text, other tokens as numbers."""
    if tokens_T.max() < 256:
        text = bytes(tokens_T.tolist()).decode(errors="replace")
        printable = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
        lines = [line[:32] for line in printable.splitlines()[:14]]
    else:
        lines = [" ".join(map(str, row)) for row in tokens_T[:84].view(-1, 6).tolist()]
    axes.text(0, 1, "\n".join(lines), va="top", family="monospace", fontsize=3.5, parse_math=False)
    axes.set_axis_off()
