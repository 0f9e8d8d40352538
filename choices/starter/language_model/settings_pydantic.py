# Yours: an update never touches this file.
"""Settings of the code that is yours: data, augmentation and model. Add your own here."""

from typing import Literal, Self

from pydantic import Field, model_validator

from .section import Section


class DataConfig(Section):
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
    vocabulary_size: int = Field(default=1024, ge=257)
    """Tokens of byte-pair encoding: some thousand if there is much text, and long training."""
    context: int = Field(default=256, ge=2)
    """Context length: tokens in a window."""
    split: Literal["hash", "position"] = "hash"
    """By a document's hash, or the last documents; stricter, since neighbours may be alike."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of the documents used for validation."""
    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of the documents used for the final test."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction: expected less than 1")
        return self


class FeaturesConfig(Section):
    corruption: float = Field(default=0.0, ge=0, le=1)
    """Fraction of the input tokens that are replaced by random ones."""


class ModelConfig(Section):
    size: int = Field(default=2, ge=1)
    """Number of layers, of heads, and of times 64 in the width; 12 is GPT-2 small."""
    ngrams: int = Field(default=4, ge=1, le=16)
    """Longest n-gram with an embedding; 1 embeds single tokens only."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability; useful if the text is shown several times."""
