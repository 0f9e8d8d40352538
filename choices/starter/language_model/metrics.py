# Yours: an update never touches this file.
"""Metrics of the predictions on held-out documents. Add your own here.

Each can select the best checkpoint: `checkpoint.metric = "validation/bits_per_byte"`.
"""

import math

from ..data.validation import Array


def metrics(nats_D: Array, tokens_D: Array, bytes_D: Array, correct_D: Array) -> dict[str, float]:
    """
    Args:
        nats_D: loss of each of D documents, summed over its tokens.
        tokens_D: number of predicted tokens.
        bytes_D: number of bytes that these tokens encode.
        correct_D: number of tokens that were the most probable ones.
    """
    return {
        # Unlike the loss per token, comparable between tokenizers.
        "bits_per_byte": float(nats_D.sum() / bytes_D.sum() / math.log(2)),
        "accuracy": float(correct_D.sum() / tokens_D.sum()),
    }
