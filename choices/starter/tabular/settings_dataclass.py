# Yours: an update never touches this file.
"""Settings of the code that is yours: data, augmentation and model. Add your own here."""

from dataclasses import dataclass
from typing import Any, Literal

from .section import require

COLUMNS: dict[str, Any] = {}
"""How each column is read; empty: inferred, and `validate` prints what to paste here.

"number", or its bounds (0, 120); "category", or its values ["cat", "dog"]; "date", or in text
"date %d.%m.%Y"; "id", which names the row; "unused", or "unused: why".
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
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
    validation_fraction: float = 0.1
    """Fraction of the examples used for validation."""
    test_fraction: float = 0.1
    """Fraction of the examples used for the final test."""

    def __post_init__(self) -> None:
        held_out = self.validation_fraction + self.test_fraction
        require(
            self,
            ("validation_fraction", 0 < self.validation_fraction < 1, "more than 0, less than 1"),
            ("test_fraction", 0 < self.test_fraction < 1, "more than 0, less than 1"),
            ("validation_fraction + test_fraction", held_out < 1, "less than 1"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesConfig:
    noise: float = 0.05
    """Standard deviation of the noise on a numeric column, as a fraction of the column's."""
    masking: float = 0.05
    """Probability that a cell is masked, as if it were missing."""

    def __post_init__(self) -> None:
        require(
            self,
            ("noise", 0 <= self.noise <= 1, "0 to 1"),
            ("masking", 0 <= self.masking < 1, "at least 0, less than 1"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    kind: Literal["network", "boosting"] = "network"
    """boosting: gradient boosting, which uses only `trees` and `class_weights` of these."""
    trees: int = 200
    """Iterations of boosting, at most."""
    width: int = 64
    """Width of the layers."""
    blocks: int = 2
    """Residual blocks, of two layers each."""
    categories: int = 512
    """Categories that are distinguished: the most frequent ones of all columns."""
    embedding: int = 32
    """Size of a category's embedding."""
    class_weights: Literal["off", "balanced"] = "off"
    """balanced: in the loss, each class weighs as much as any other."""
    dropout: float = 0.1
    """Dropout probability."""

    def __post_init__(self) -> None:
        require(
            self,
            ("trees", self.trees >= 1, "at least 1"),
            ("width", self.width >= 1, "at least 1"),
            ("blocks", self.blocks >= 0, "at least 0"),
            ("categories", self.categories >= 1, "at least 1"),
            ("embedding", self.embedding >= 1, "at least 1"),
            ("dropout", 0 <= self.dropout < 1, "at least 0, less than 1"),
        )
