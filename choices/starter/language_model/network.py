# Yours: an update never touches this file.
"""A decoder-only transformer, whose size is one number: layers, heads and width follow from it.

    size   layers  heads  width    weights with bytes     with the 50,257 tokens of GPT-2
       2        2      2    128         0.4 million                          6.9 million
       6        6      6    384        10.7 million                         29.9 million
      12       12     12    768        85.1 million        123.6 million, as GPT-2 small
      24       24     24   1536       679.9 million                        756.7 million

To which `model.ngrams` adds 2 million times `size` for each length. What it is made of: the norm
before each part, and RMSNorm (https://arxiv.org/abs/1910.07467); rotary positions
(https://arxiv.org/abs/2104.09864); queries and keys normed (https://arxiv.org/abs/2302.05442);
SwiGLU (https://arxiv.org/abs/2002.05202); no biases; the embedding tied to the output
(https://arxiv.org/abs/1608.05859); hashed n-grams, see below.

Shapes: B windows in a batch, T tokens in a window, D the width, H heads of K = D / H, V tokens in
the vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    cross_entropy,
    linear,
    pad,
    rms_norm,
    scaled_dot_product_attention,
    silu,
)

from ..config import ModelConfig

HEAD = 64  # width of a head
ROWS = 1 << 14  # of the table of each length of n-grams


class Network(nn.Module):
    """Predicts at each position the token that follows."""

    cosines: Tensor  # (T, K / 2)
    sines: Tensor  # (T, K / 2)

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], outputs: int) -> None:
        """Take the shape of one window, (T,), and the size of the vocabulary, V."""
        super().__init__()
        (self.context,) = shape
        width = HEAD * config.size
        self.embedding = nn.Embedding(outputs, width)
        self.ngrams = HashedNGrams(config.ngrams, width) if config.ngrams > 1 else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(width, config) for _ in range(config.size))
        self.norm = nn.RMSNorm(width)
        for name, values in zip(("cosines", "sines"), rotations(self.context), strict=True):
            self.register_buffer(name, values, persistent=False)
        initialise(self, config.size)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits, (B, T, V), for windows no longer than the context."""
        tokens_BT = tokens_BT.long()
        x_BTD = self.embedding(tokens_BT)
        if self.ngrams is not None:
            x_BTD = x_BTD + self.ngrams(tokens_BT)
        x_BTD = self.dropout(rms_norm(x_BTD, x_BTD.shape[-1:]))
        length = tokens_BT.shape[1]
        rotation = self.cosines[:length], self.sines[:length]
        for block in self.blocks:
            x_BTD = block(x_BTD, *rotation)
        return linear(self.norm(x_BTD), self.embedding.weight)


class HashedNGrams(nn.Module):
    """What the last 2, 3, … tokens mean together, looked up by their hash.

    So that the blocks needn't spell out first what stands there: with bytes, that halves the text
    it takes to reach a loss. Some n-grams share a row, and the blocks live with it. Source: Byte
    Latent Transformer, section 3.2.1 (https://arxiv.org/abs/2412.09871).
    """

    def __init__(self, longest: int, width: int) -> None:
        super().__init__()
        self.longest = longest
        self.table = nn.Embedding((longest - 1) * ROWS, width)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """The sum over the lengths, (B, T, D)."""
        hashes_BT, rows = tokens_BT, list[Tensor]()
        for back in range(1, self.longest):
            earlier_BT = pad(tokens_BT, (back, 0))[:, :-back]
            hashes_BT = (hashes_BT * 1_000_003 + earlier_BT + 1) % (2**31 - 1)
            rows.append(hashes_BT % ROWS + (back - 1) * ROWS)
        return self.table(torch.stack(rows)).sum(dim=0)


class Block(nn.Module):
    """Attention, then a layer on each position alone; each adds to what was there."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.RMSNorm(width), Attention(width, config)
        self.layer_norm, self.layer = nn.RMSNorm(width), SwiGLU(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTD: Tensor, cosines_TK: Tensor, sines_TK: Tensor) -> Tensor:
        """The windows, (B, T, D), with what this block found."""
        found_BTD = self.attention(self.attention_norm(x_BTD), cosines_TK, sines_TK)
        x_BTD = x_BTD + self.dropout(found_BTD)
        return x_BTD + self.dropout(self.layer(self.layer_norm(x_BTD)))


class Attention(nn.Module):
    """Each position looks at those before it and at itself."""

    def __init__(self, width: int, config: ModelConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.enter = nn.Linear(width, 3 * width, bias=False)  # queries, keys and values
        self.leave = nn.Linear(width, width, bias=False)
        self.query_norm, self.key_norm = nn.RMSNorm(HEAD), nn.RMSNorm(HEAD)

    def forward(self, x_BTD: Tensor, cosines_TK: Tensor, sines_TK: Tensor) -> Tensor:
        """What each position makes of those that it looked at, (B, T, D)."""
        batch, length, width = x_BTD.shape
        all_BTHK = self.enter(x_BTD).view(batch, length, -1, HEAD)
        q_BHTK, k_BHTK, v_BHTK = all_BTHK.transpose(1, 2).chunk(3, dim=1)
        q_BHTK = rotated(self.query_norm(q_BHTK), cosines_TK, sines_TK).type_as(v_BHTK)
        k_BHTK = rotated(self.key_norm(k_BHTK), cosines_TK, sines_TK).type_as(v_BHTK)
        dropped = self.dropout if self.training else 0.0
        y_BHTK = scaled_dot_product_attention(
            q_BHTK, k_BHTK, v_BHTK, dropout_p=dropped, is_causal=True
        )
        return self.leave(y_BHTK.transpose(1, 2).reshape(batch, length, width))


class SwiGLU(nn.Module):
    """A gated layer, with as many weights as one without a gate that is four times as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = math.ceil(width * 8 / 3 / 64) * 64
        self.enter = nn.Linear(width, 2 * hidden, bias=False)  # gate and value
        self.leave = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Each position on its own, (B, T, D)."""
        gate, value = self.enter(x_BTD).chunk(2, dim=-1)
        return self.leave(silu(gate) * value)


def rotations(length: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each position's angles, (T, K / 2) each."""
    frequencies = 10_000 ** -(torch.arange(0, HEAD, 2) / HEAD)
    angles = torch.outer(torch.arange(length), frequencies)
    return angles.cos(), angles.sin()


def rotated(x_BHTK: Tensor, cosines_TK: Tensor, sines_TK: Tensor) -> Tensor:
    """Turn each pair of numbers by its position's angle: products then know the distance."""
    a, b = x_BHTK.chunk(2, dim=-1)
    return torch.cat((a * cosines_TK - b * sines_TK, a * sines_TK + b * cosines_TK), dim=-1)


def initialise(network: Network, layers: int) -> None:
    """Draw the weights so that signals keep their size, however many blocks add to them.

    What a block adds is scaled by the root of how many do: GPT-2 (Radford et al., 2019), section
    2.3. Tables are drawn small, since the first norm makes up for it.
    """
    for name, weight in network.named_parameters():
        if name.endswith(("embedding.weight", "table.weight")):
            nn.init.normal_(weight, std=0.02)
        elif weight.ndim == 2:
            spread = 0.5 / math.sqrt(weight.shape[1])
            adds = name.endswith("leave.weight")
            nn.init.normal_(weight, std=spread / math.sqrt(2 * layers) if adds else spread)


def losses(logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
    """The loss of each window, (B,): cross-entropy in nats, the mean over its tokens."""
    logits_NV, labels_N = logits_BTV.flatten(0, -2).float(), labels_BT.flatten().long()
    found_N = cross_entropy(logits_NV, labels_N, reduction="none")
    return found_N.view(len(labels_BT), -1).mean(dim=1)


def flops_per_token(network: Network) -> int:
    """Floating-point operations for a token of training, forward and backward.

    Six for each weight that a token is multiplied with, and twelve for each layer, position and
    width of attention: PaLM, appendix B (https://arxiv.org/abs/2204.02311).
    """
    multiplied = sum(weight.numel() for weight in network.parameters())
    if network.ngrams is not None:
        multiplied -= network.ngrams.table.weight.numel()
    layers, width = len(network.blocks), network.embedding.weight.shape[1]
    return 6 * multiplied + 12 * layers * width * network.context
