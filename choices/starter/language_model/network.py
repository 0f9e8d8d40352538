# Yours: an update never touches this file.
"""The model and its loss: a decoder-only transformer, whose size is one number.

    size   layers  heads  width    weights with bytes     with the 50,257 tokens of GPT-2
       2        2      2    128         0.4 million                          6.9 million
       6        6      6    384        10.7 million                         29.9 million
      12       12     12    768        85.1 million        123.6 million, as GPT-2 small
      24       24     24   1536       679.9 million                        756.7 million

`model.ngrams` adds 2 million times `size` per length of n-grams.

Shapes: B windows in a batch, T tokens in a window, D the width, H heads of K = D / H, V tokens in
the vocabulary.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, pad, scaled_dot_product_attention, silu

from ..settings import ModelConfig

HEAD_SIZE = 64  # K
NGRAM_ROWS = 1 << 14  # embeddings per length of n-grams


class Network(nn.Module):
    """Predicts the next token at each position.

    Args:
        config: its hyperparameters.
        shape: of one preprocessed window, (T,).
        num_outputs: size of the vocabulary, V.
    """

    angles: Tensor  # (T, K / 2), of the rotary position embedding

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        width = HEAD_SIZE * config.size
        self.embedding = nn.Embedding(num_outputs, width)
        self.ngrams = NGramEmbedding(config.ngrams, width) if config.ngrams > 1 else None
        self.embedding_norm = nn.RMSNorm(width, elementwise_affine=False)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(width, config.dropout) for _ in range(config.size))
        self.norm = nn.RMSNorm(width)

        frequencies = 10_000 ** -(torch.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)
        angles = torch.outer(torch.arange(shape[0]), frequencies)
        self.register_buffer("angles", angles, persistent=False)
        self._initialize(config.size)

    def _initialize(self, num_layers: int) -> None:
        """Small embeddings, and layers whose outputs keep the scale of their inputs.

        Layers that add to the residual stream are scaled down by how many there are: GPT-2
        (Radford et al., 2019), section 2.3.
        """
        for name, weight in self.named_parameters():
            if name.endswith("embedding.weight"):
                nn.init.normal_(weight, std=0.02)
            elif weight.ndim == 2:
                std = 0.5 / math.sqrt(weight.shape[1])
                if name.endswith("output.weight"):
                    std /= math.sqrt(2 * num_layers)
                nn.init.normal_(weight, std=std)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits, (B, T, V); T may be shorter than the windows that it was trained on."""
        x_BTD = self.embedding(tokens_BT)
        if self.ngrams is not None:
            x_BTD = x_BTD + self.ngrams(tokens_BT)
        x_BTD = self.dropout(self.embedding_norm(x_BTD))

        angles_TK = self.angles[: tokens_BT.shape[1]]
        for block in self.blocks:
            x_BTD = block(x_BTD, angles_TK.cos(), angles_TK.sin())

        # The output layer shares its weights with the embedding: https://arxiv.org/abs/1608.05859
        return linear(self.norm(x_BTD), self.embedding.weight)

    def postprocess(self, logits_BTV: Tensor) -> Tensor:
        """Predictions: the probability of each token to be the next one, (B, T, V)."""
        return logits_BTV.float().softmax(dim=-1)


class NGramEmbedding(nn.Module):
    """The sum of the embeddings of the last 2, 3, … tokens, looked up by their hash.

    N-grams may share a row. With bytes, this halves the text that it takes to reach a loss. Source:
    Byte Latent Transformer, section 3.2.1 (https://arxiv.org/abs/2412.09871).
    """

    def __init__(self, longest: int, width: int) -> None:
        super().__init__()
        self.longest = longest
        self.embedding = nn.Embedding((longest - 1) * NGRAM_ROWS, width)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """(B, T, D)"""
        hashes_BT = tokens_BT
        rows: list[Tensor] = []
        for offset in range(1, self.longest):
            earlier_BT = pad(tokens_BT, (offset, 0))[:, :-offset]
            hashes_BT = (hashes_BT * 1_000_003 + earlier_BT + 1) % (2**31 - 1)
            rows.append(hashes_BT % NGRAM_ROWS + (offset - 1) * NGRAM_ROWS)
        return self.embedding(torch.stack(rows)).sum(dim=0)


class Block(nn.Module):
    """Attention and an MLP. The norm is before each: RMSNorm, https://arxiv.org/abs/1910.07467."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(width)
        self.attention = Attention(width, dropout)
        self.mlp_norm = nn.RMSNorm(width)
        self.mlp = SwiGLU(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, cos_TK: Tensor, sin_TK: Tensor) -> Tensor:
        x_BTD = x_BTD + self.dropout(self.attention(self.attention_norm(x_BTD), cos_TK, sin_TK))
        return x_BTD + self.dropout(self.mlp(self.mlp_norm(x_BTD)))


class Attention(nn.Module):
    """Causal self-attention, with normalized queries and keys: https://arxiv.org/abs/2302.05442."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.RMSNorm(HEAD_SIZE)
        self.key_norm = nn.RMSNorm(HEAD_SIZE)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x_BTD: Tensor, cos_TK: Tensor, sin_TK: Tensor) -> Tensor:
        batch, length, width = x_BTD.shape
        x_BTHK = self.query_key_value(x_BTD).view(batch, length, -1, HEAD_SIZE)
        q_BHTK, k_BHTK, v_BHTK = x_BTHK.transpose(1, 2).chunk(3, dim=1)
        q_BHTK = rotate(self.query_norm(q_BHTK), cos_TK, sin_TK).type_as(v_BHTK)
        k_BHTK = rotate(self.key_norm(k_BHTK), cos_TK, sin_TK).type_as(v_BHTK)
        dropout = self.dropout if self.training else 0.0
        y_BHTK = scaled_dot_product_attention(
            q_BHTK, k_BHTK, v_BHTK, dropout_p=dropout, is_causal=True
        )
        return self.output(y_BHTK.transpose(1, 2).reshape(batch, length, width))


def rotate(x_BHTK: Tensor, cos_TK: Tensor, sin_TK: Tensor) -> Tensor:
    """Rotary position embedding (https://arxiv.org/abs/2104.09864): rotate pairs of numbers by the
    angles of their position, so that products of queries and keys depend on the distance."""
    a, b = x_BHTK.chunk(2, dim=-1)
    return torch.cat((a * cos_TK - b * sin_TK, a * sin_TK + b * cos_TK), dim=-1)


class SwiGLU(nn.Module):
    """A gated MLP (https://arxiv.org/abs/2002.05202), with as many weights as one without a gate
    and four times the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = math.ceil(width * 8 / 3 / 64) * 64
        self.gate_value = nn.Linear(width, 2 * hidden, bias=False)
        self.output = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        gate, value = self.gate_value(x_BTD).chunk(2, dim=-1)
        return self.output(silu(gate) * value)


def per_token_loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Cross-entropy in nats, (B, T)."""
    logits_NV = logits_BTV.float().flatten(0, 1)
    return cross_entropy(logits_NV, targets_BT.flatten(), reduction="none").view_as(targets_BT)


def per_example_loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """The mean over the tokens of each window, (B,)."""
    return per_token_loss(logits_BTV, targets_BT).mean(dim=1)
