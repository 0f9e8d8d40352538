# Yours: an update never touches this file.
"""Settings of the code that is yours: data, augmentation and model. Add your own here."""

from typing import Self

from pydantic import Field, model_validator

from .section import Section


class DataConfig(Section):
    path: str = "diabetes"
    """A .csv or .parquet file, or "diabetes" for scikit-learn's table."""
    target: str = "progression"
    """The column to predict, one of COLUMNS in data/source.py."""
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
    noise: float = Field(default=0.05, ge=0, le=1)
    """Standard deviation of the noise on a numeric column, as a fraction of the column's."""
    masking: float = Field(default=0.05, ge=0, lt=1)
    """Probability that a cell is masked, as if it were missing."""


class ModelConfig(Section):
    width: int = Field(default=64, ge=1)
    """Width of the layers."""
    blocks: int = Field(default=2, ge=0)
    """Residual blocks, of two layers each."""
    categories: int = Field(default=64, ge=1)
    """Categories of a column that are distinguished: the most frequent ones."""
    embedding: int = Field(default=8, ge=1)
    """Size of a category's embedding."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability."""
