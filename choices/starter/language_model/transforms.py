# Yours: an update never touches this file.
"""From tokens to what the network sees, and what training hides from it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ..config import FeaturesConfig
from ..data.source import TOKENIZER
from ..protocols import Array, Keeps

KEEPS = {
    "prepare": Keeps(low=0, high=TOKENIZER.size - 1),
    "augment": Keeps(low=0, high=TOKENIZER.size - 1),
}
"""What the command `features` looks for."""


def prepare(inputs: Array) -> Array:
    """Tokens (B, T) as they are: the network looks them up."""
    return inputs


def augment(inputs: Array, random: np.random.Generator, config: FeaturesConfig) -> Array:
    """Put a random token in the place of some, while what is to be predicted stays as it is.

    The network then trusts no single token. Of use where a corpus is shown many times over; where
    it isn't, this only costs. Source: Xie et al. (https://arxiv.org/abs/1703.02573), with their
    unigram noise made uniform.

    Args:
        inputs: tokens, (B, T).
        random: the only source of chance, so that a batch can be made again.
        config: how many.
    """
    if config.corruption == 0:
        return inputs
    hidden = random.random(inputs.shape, dtype=np.float32) < config.corruption
    others = random.integers(0, TOKENIZER.size, size=inputs.shape, dtype=inputs.dtype)
    return np.where(hidden, others, inputs)


def draw(axes: Axes, inputs: Array) -> None:
    """Show one window of tokens, (T,), to a person."""
    text = TOKENIZER.decode(inputs).decode(errors="replace").replace("\0", "\n--\n")
    box = axes.text(0, 1, text, va="top", family="monospace", fontsize=7, parse_math=False)
    box.set(wrap=True, clip_on=True)
    axes.set_axis_off()
