# Yours: an update never touches this file.
"""Settings of the code that is yours: data, augmentation and model. Add your own here."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from .section import Section

COLUMNS: dict[str, Any] = {}
"""How each column is read; empty: inferred, and `validate` prints what to paste here.

"number", or its bounds (0, 120); "category", or its values ["cat", "dog"]; "date", or in text
"date %d.%m.%Y"; "id", which names the row; "unused", or "unused: why".
"""


class DataConfig(Section):
    path: str = "diabetes"
    """A table: CSV, Parquet or Excel; or "diabetes" for scikit-learn's."""
    target: str = "progression"
    """The column to predict."""
    task: Literal["auto", "classification", "regression"] = "auto"
    """auto: classes if the target is text, or few whole numbers."""
    encoding: str = "utf-8"
    """Of a CSV file, such as latin-1."""
    group: str = ""
    """A column of which equal cells share a split, such as a patient or a household."""
    split: str = ""
    """A column with the split of each row, or a table of id and split; empty: by hash."""
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
    kind: Literal["network", "boosting"] = "network"
    """boosting: gradient boosting, which uses only `trees` and `class_weights` of these."""
    trees: int = Field(default=200, ge=1)
    """Iterations of boosting, at most."""
    width: int = Field(default=64, ge=1)
    """Width of the layers."""
    blocks: int = Field(default=2, ge=0)
    """Residual blocks, of two layers each."""
    categories: int = Field(default=512, ge=1)
    """Categories that are distinguished: the most frequent ones of all columns."""
    embedding: int = Field(default=32, ge=1)
    """Size of a category's embedding."""
    class_weights: Literal["off", "balanced"] = "off"
    """balanced: in the loss, each class weighs as much as any other."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability."""
