# Yours: an update never touches this file.
"""Settings of the code that is yours: data, augmentation and model. Add your own here."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from .section import Section


class DataConfig(Section):
    path: Path = Path("data/records.csv")
    """The table: an id, numbers, and a label in the last column."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of the examples used for validation."""
    test_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of the examples used for the final test."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction: expected less than 1")
        return self


class FeaturesConfig(Section):
    noise: float = Field(default=0.02, ge=0, le=1)
    """Standard deviation of the noise on a column, as a fraction of the column's."""


class ModelConfig(Section):
    hidden: int = Field(default=64, ge=1)
    """Width of the two hidden layers."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability."""
