"""Near-duplicates among inputs or texts, without comparing all pairs.

An example is reduced to a signature of W words of 64 bits. Those with half of a word in common are
candidates; near-duplicates differ in few bits. Shapes: N examples, W words, S splits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import CommandError
from .statistics import Array

CHUNK = 1 << 22  # values in memory at the same time
DOCUMENTS = 64  # in memory at the same time
MAX_VALUES = 1024  # of an input; larger ones are averaged
SHINGLE = 8  # tokens
MAX_NEIGHBOURS = 8  # that are compared with an example, of those with a common word
CHANCE_BITS = 10  # one in 2**10 tables of unrelated rows has two that are near-duplicates
MAX_BITS = {1: 0, 6: 12, 32: 192}
"""Different bits of near-duplicates, by W. 12 of the 384 of SimHash: a correlation of about 0.995.
192 of MinHash: 6 of 32 words, since half of the bits of two unrelated words differ; about 4 in 5
shingles are the same."""


def find_duplicates(folder: Path, split_sizes: Mapping[str, int]) -> Array | None:
    """A near-duplicate of each example in each split, (N, S); -1 where there is none.

    Args:
        folder: of the cached examples.
        split_sizes: examples of each split; rows are numbered in this order.

    Returns:
        None if the folder has no inputs.

    Raises:
        CommandError: the inputs can't be read, or aren't those of examples.csv.
    """
    signatures: list[Array] = []
    for split, size in split_sizes.items():
        paths = folder / f"{split}.inputs.npy", folder / f"{split}.ends.npy"
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            return None
        try:
            words = _sign(path, split)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CommandError(f"{path}: {error}; first: COMMAND validate") from None
        if len(words) != size:
            given = f"has {len(words)} rows, but {size} {split} examples are in examples.csv"
            raise CommandError(f"{path} {given}; first: COMMAND validate")
        signatures.append(words)
    splits = np.repeat(np.arange(len(split_sizes)), list(split_sizes.values()))
    words = np.concatenate(signatures)
    return match(sign_rows(words) if words.dtype == np.float64 else words, splits)


def _sign(path: Path, split: str) -> Array:
    values = np.load(path, mmap_mode="r")
    if path.name == f"{split}.ends.npy":
        dtype = json.loads((path.parent / "layout.json").read_bytes())["dtype"]
        return minhash(np.memmap(path.parent / f"{split}.tokens", dtype, "r"), values.astype(int))
    if values.ndim > 2 and values[:1].size >= 32:
        return simhash(values)
    return rounded(values.reshape(len(values), -1))  # columns of a table have scales of their own


def simhash(inputs: Array) -> Array:
    """Signs of 384 random projections of each input, (N, 6).

    They don't depend on brightness and contrast. Source: Charikar, 2002,
    https://doi.org/10.1145/509907.509965
    """
    size = int(np.prod(inputs.shape[1:]))
    width = min(size, MAX_VALUES)
    planes = np.random.default_rng(0).standard_normal((width, 384), dtype=np.float32)
    words = np.empty((len(inputs), 6), dtype=np.uint64)
    step = max(1, CHUNK // size)
    for start in range(0, len(inputs), step):
        chunk = inputs[start : start + step].reshape(-1, size)[:, : size // width * width]
        values = np.nan_to_num(chunk.reshape(len(chunk), width, -1).mean(axis=2, dtype=np.float32))
        sides = (values - values.mean(axis=1, keepdims=True)) @ planes > 0
        words[start : start + step] = np.packbits(sides, axis=1).view(np.uint64)
    return words


def rounded(rows: Array) -> Array:
    """The first three digits and the exponent of each number in the rows of a table, (N, 2 C)."""
    values = np.nan_to_num(rows.astype(np.float64))
    exponents = np.floor(np.log10(np.abs(values), where=values != 0, out=np.zeros_like(values)))
    digits = np.round(values * 10.0 ** (2 - exponents)) + 0.0  # -0 becomes 0
    return np.hstack([digits, exponents])


def sign_rows(values: Array) -> Array:
    """Of rows from `rounded`, (N, 1). Those that chance would repeat are like no other.

    With few distinct values, unrelated rows are equal: passengers of the same class, sex and age.
    If columns were independent, two rows were equal to one with so much information once in
    2**CHANCE_BITS tables.
    """
    information = np.zeros(len(values))  # in bits
    for digits, exponents in zip(*(half.T for half in np.hsplit(values, 2)), strict=True):
        cells = _hash(np.stack([digits, exponents], axis=1).view(np.uint64))
        _, groups, counts = np.unique(cells, return_inverse=True, return_counts=True)
        information -= np.log2(counts[groups] / len(values))
    rows = np.arange(len(values), dtype=np.uint64)
    is_rare = information >= 2 * np.log2(len(values)) + CHANCE_BITS
    return np.where(is_rare, _hash(values.view(np.uint64)), rows)[:, None]


def minhash(tokens: Array, ends: Array) -> Array:
    """The minimum of each of 32 hashes over all shingles of 8 tokens of a document, (N, 32).

    The fraction that two documents have in common estimates that of their shingles. Source:
    Broder, 1997, https://doi.org/10.1109/SEQUEN.1997.666900
    """
    counts = np.diff(ends) - SHINGLE  # shingles in each document, without the separator
    words = np.empty((len(counts), 32), dtype=np.uint64)

    # A document that is shorter than a shingle is compared as a whole.
    short = np.flatnonzero(counts <= 0)
    positions = ends[short, None] + np.arange(SHINGLE)
    is_inside = positions < ends[short + 1, None] - 1
    text = np.where(is_inside, tokens[positions.clip(max=len(tokens) - 1)].astype(np.uint64) + 1, 0)
    words[short] = _hash(text.astype(np.uint64))[:, None]

    factors = _odd(32)
    for first in range(0, len(counts), DOCUMENTS):
        rows = first + np.flatnonzero(counts[first : first + DOCUMENTS] > 0)
        if len(rows) == 0:
            continue
        text = tokens[ends[rows[0]] : ends[rows[-1] + 1]].astype(np.uint64)
        hashes = _hash(np.lib.stride_tricks.sliding_window_view(text, SHINGLE))
        starts = ends[rows] - ends[rows[0]]
        segments = np.stack([starts, starts + counts[rows]], axis=1).ravel()
        for column, factor in enumerate(factors):
            words[rows, column] = np.minimum.reduceat(hashes * factor, segments)[::2]
    return words


def _odd(count: int) -> Array:
    return np.random.default_rng(0).integers(1 << 63, size=count, dtype=np.uint64) * 2 + 1


def _hash(words: Array) -> Array:
    """A number for each row, (N,), by multiplication and a shift."""
    sums = (words * _odd(words.shape[1])).sum(axis=1)
    return (sums ^ sums >> np.uint64(29)) * _odd(1)


def match(words: Array, splits: Array) -> Array:
    """A near-duplicate of each example in each split, (N, S), or -1."""
    # Examples with equal signatures are one group: half of the data may be one blank image.
    _, members, groups = np.unique(_hash(words), return_index=True, return_inverse=True)
    rows = np.arange(len(words))
    first = np.full((len(members), splits.max() + 1), len(rows))
    last = np.full_like(first, -1)
    np.minimum.at(first, (groups, splits), rows)
    np.maximum.at(last, (groups, splits), rows)
    first[last < 0] = -1

    # An example isn't its own duplicate, but another one of its group is.
    partners = np.where(first[groups] == rows[:, None], last[groups], first[groups])
    partners[partners == rows[:, None]] = -1

    words = words[members]
    neighbours = np.full_like(first, -1)
    for band in words.view(np.uint32).T:
        order = np.argsort(band, kind="stable")
        for distance in range(1, MAX_NEIGHBOURS + 1):
            shared = np.flatnonzero(band[order[:-distance]] == band[order[distance:]])
            left, right = order[shared], order[shared + distance]
            bits = np.bitwise_count(words[left] ^ words[right]).sum(axis=1)
            near = bits <= MAX_BITS[words.shape[1]]
            np.maximum.at(neighbours, left[near], first[right[near]])
            np.maximum.at(neighbours, right[near], first[left[near]])
    return np.where(partners >= 0, partners, neighbours[groups])
