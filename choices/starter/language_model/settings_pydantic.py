# Yours: an update never touches this file.
"""Settings of the code that is yours: data, augmentation and model. Add your own here."""

from typing import Self

from pydantic import Field, model_validator

from .section import Section


class DataConfig(Section):
    path: str = "stdlib"
    """Folder, file or pattern such as "corpus/**/*.txt"; "stdlib" is Python's standard library."""
    context: int = Field(default=256, ge=2)
    """Context length: tokens in a window."""
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
