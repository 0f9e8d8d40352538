# The template's: updates improve this file and keep your edits.
"""Turns text into tokens, and back.

For a tokenizer of your own, define TOKENIZER in data/source.py: an object with `size`, `separator`,
`encode` and `decode`, as those below have. The schema's vocabulary_size has to be its size.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..errors import DataError
from .validation import Array, Schema

NUM_BYTES = 256


class Tokenizer(Protocol):
    size: int  # of the vocabulary, including the separator
    separator: int  # the token between two documents

    def encode(self, text: bytes) -> Array: ...

    def decode(self, tokens: Array) -> bytes: ...


class ByteTokenizer:
    """One token per byte. Byte 0, which no valid text contains, separates documents."""

    size = NUM_BYTES
    separator = 0

    def encode(self, text: bytes) -> Array:
        return np.frombuffer(text, dtype=np.uint8)

    def decode(self, tokens: Array) -> bytes:
        """The text may begin or end within a character."""
        return tokens.astype(np.uint8).tobytes()


class BytePairTokenizer:
    """A token per frequent sequence of bytes (https://arxiv.org/abs/1508.07909)."""

    def __init__(self, definition: str) -> None:
        import tokenizers  # an optional package

        self._tokenizer = tokenizers.Tokenizer.from_str(definition)
        self.separator: int = self._tokenizer.get_vocab_size()  # no text has this token
        self.size = self.separator + 1

    def encode(self, text: bytes) -> Array:
        return np.array(self._tokenizer.encode(text.decode(errors="replace")).ids, dtype=np.int64)

    def decode(self, tokens: Array) -> bytes:
        """A part of a character becomes U+FFFD, and a separator nothing."""
        return self._tokenizer.decode(tokens.tolist()).encode()


def train_tokenizer(texts: Iterable[bytes], schema: Schema) -> Schema:
    """The schema with a tokenizer for a vocabulary of its size, trained on these texts.

    Raises:
        DataError: the package tokenizers is missing.
    """
    if not needs_training(schema):
        return schema
    try:
        import tokenizers
        from tokenizers import decoders, models, pre_tokenizers, trainers
    except ImportError:
        message = "data.tokenizer = 'bpe': needs a package; run: pip install tokenizers"
        raise DataError(message) from None

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=schema.vocabulary_size - 1,  # the other one is the separator
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text.decode(errors="replace") for text in texts), trainer)
    definition = tokenizer.to_str()
    size = BytePairTokenizer(definition).size  # smaller than asked for, if there is little text
    return replace(schema, learned={"tokenizer": definition}, vocabulary_size=size)


def needs_training(schema: Schema) -> bool:
    is_given = schema.vocabulary_size == NUM_BYTES or _own_tokenizer() is not None
    return not (is_given or schema.learned)


def load_tokenizer(schema: Schema) -> Tokenizer:
    """Your own, or the one that the schema of a cache or a run has."""
    if own := _own_tokenizer():
        return own
    definition = schema.learned.get("tokenizer")
    return BytePairTokenizer(definition) if definition else ByteTokenizer()


def _own_tokenizer() -> Tokenizer | None:
    from . import source  # which may import this file

    return getattr(source, "TOKENIZER", None)
