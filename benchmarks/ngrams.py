"""N-gram models of bytes with back-off: what a language model has to beat.

Both count all of the training text, and mix the frequencies after each context with those after the
next shorter one, down to a uniform guess:

- modified Kneser-Ney (Chen & Goodman, 1999, https://doi.org/10.1006/csla.1999.0128), which takes a
  little from each count, and for the shorter contexts counts in how many different places a byte
  was seen;
- Witten-Bell (https://doi.org/10.1109/18.87000), which trusts a context less the more different
  bytes followed it.

An n-gram is an integer of as many bytes, so that counting is sorting. Shapes: N bytes to be
predicted, G different n-grams, C different contexts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Counted = tuple[Array, Array]  # what there is, sorted, and how often

LONGEST = 7  # bytes that fit into an integer of 64 bits, one longer n-gram included


def kneser_ney(training: Array, text: Array, order: int) -> Array:
    """The probability of each byte of the text after those before it, (N,).

    Args:
        training: uint8.
        text: uint8, (N,); nothing but padding stands before it.
        order: bytes in the longest n-gram, the one to be predicted included.
    """

    def weights(length: int) -> tuple[Counted, Array, Array]:
        if length == order:
            grams, counts = counted(training, length)
        else:
            longer, _ = counted(training, length + 1)
            grams, counts = np.unique(longer & (256**length - 1), return_counts=True)
        once, twice, thrice, four_times = (np.count_nonzero(counts == n) for n in (1, 2, 3, 4))
        if not (once and twice and thrice):  # single bytes: nearly all of them are frequent
            discounts = np.array([0.0, 0.5, 0.5, 0.5])
        else:
            y = once / (once + 2 * twice)
            after = ((once, twice), (twice, thrice), (thrice, four_times))
            found = (n - (n + 1) * y * b / a for n, (a, b) in enumerate(after, 1))
            discounts = np.array([0.0, *found])
        taken = discounts[np.minimum(counts, 3)]
        return (grams, counts - taken), counts, taken

    return mixed(text, order, weights)


def witten_bell(training: Array, text: Array, order: int) -> Array:
    """The same; see `kneser_ney`."""

    def weights(length: int) -> tuple[Counted, Array, Array]:
        grams, counts = counted(training, length)
        return (grams, counts), counts + 1, np.ones(len(counts))

    return mixed(text, order, weights)


def mixed(text: Array, order: int, weights: Callable[[int], tuple[Counted, Array, Array]]) -> Array:
    """The probabilities, (N,), from the shortest context to the longest.

    Args:
        text: uint8, (N,).
        order: of the longest n-grams.
        weights: gives for a length the n-grams with what each keeps of its count, (G,); what each
            adds to the sum of its context, (G,); and to what its context leaves to shorter ones.
    """
    probabilities = np.full(len(text), 1 / 256)
    for length in range(1, order + 1):
        (grams, kept), counts, left = weights(length)
        asked = ngrams(text, length)
        total = look_up(summed(grams, counts), asked >> 8)
        rest = look_up(summed(grams, left), asked >> 8)
        known = total > 0
        mixture = look_up((grams, kept), asked) + rest * probabilities
        probabilities[known] = mixture[known] / total[known]
    return probabilities


def ngrams(text: Array, length: int) -> Array:
    """The n-gram that ends at each byte, (N,)."""
    padded = np.concatenate([np.zeros(length - 1, np.uint8), text]).astype(np.int64)
    found = np.zeros(len(text), dtype=np.int64)
    for first in range(length):
        found = found << 8 | padded[first : first + len(text)]
    return found


def counted(text: Array, length: int) -> Counted:
    """The different n-grams, (G,), and how often each occurs."""
    assert length <= LONGEST
    return np.unique(ngrams(text, length), return_counts=True)


def summed(grams: Array, values: Array) -> Counted:
    """The contexts, (C,), and the sum over the n-grams that begin with each."""
    contexts = grams >> 8
    first = np.flatnonzero(np.diff(contexts, prepend=-1))
    return contexts[first], np.add.reduceat(values.astype(np.float64), first)


def look_up(table: Counted, asked: Array) -> Array:
    """The value of each, (N,); 0 for what isn't there."""
    names, values = table
    rows = np.minimum(names.searchsorted(asked), len(names) - 1)
    return np.where(names[rows] == asked, values[rows], 0)
