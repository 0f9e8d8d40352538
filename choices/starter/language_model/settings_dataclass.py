# Yours: an update never touches this file.
"""Settings of the code that is yours: data, augmentation and model. Add your own here."""

from dataclasses import dataclass
from typing import Literal

from .section import require


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    path: str = "stdlib"
    """Folder, file or pattern such as "corpus/**/*.txt"; "stdlib" is Python's standard library."""
    documents: Literal["auto", "file", "separator", "block"] = "auto"
    """A whole file, what is between separators, or a block of lines; auto: what suits the files."""
    separator: str = ""
    """Line between two documents, such as "<|endoftext|>"; empty for blank lines."""
    encoding: str = "utf-8"
    """Of the files that aren't UTF-8, and don't begin with a byte order mark."""
    tokenizer: Literal["bytes", "bpe"] = "bytes"
    """A token per byte, or byte-pair encoding trained on the training split."""
    vocabulary_size: int = 1024
    """Tokens of byte-pair encoding: some thousand if there is much text, and long training."""
    context: int = 256
    """Context length: tokens in a window."""
    split: Literal["hash", "position"] = "hash"
    """By a document's hash, or the last documents; stricter, since neighbours may be alike."""
    validation_fraction: float = 0.1
    """Fraction of the documents used for validation."""
    test_fraction: float = 0.1
    """Fraction of the documents used for the final test."""

    def __post_init__(self) -> None:
        held_out = self.validation_fraction + self.test_fraction
        require(
            self,
            ("vocabulary_size", self.vocabulary_size >= 257, "at least 257"),
            ("context", self.context >= 2, "at least 2"),
            ("validation_fraction", 0 < self.validation_fraction < 1, "more than 0, less than 1"),
            ("test_fraction", 0 < self.test_fraction < 1, "more than 0, less than 1"),
            ("validation_fraction + test_fraction", held_out < 1, "less than 1"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesConfig:
    corruption: float = 0.0
    """Fraction of the input tokens that are replaced by random ones."""

    def __post_init__(self) -> None:
        require(self, ("corruption", 0 <= self.corruption <= 1, "0 to 1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    size: int = 2
    """Number of layers, of heads, and of times 64 in the width; 12 is GPT-2 small."""
    ngrams: int = 4
    """Longest n-gram with an embedding; 1 embeds single tokens only."""
    dropout: float = 0.0
    """Dropout probability; useful if the text is shown several times."""

    def __post_init__(self) -> None:
        require(
            self,
            ("size", self.size >= 1, "at least 1"),
            ("ngrams", 1 <= self.ngrams <= 16, "1 to 16"),
            ("dropout", 0 <= self.dropout < 1, "at least 0, less than 1"),
        )
