# Yours: an update never touches this file.
"""Settings of the code that is yours: data, augmentation and model. Add your own here."""

from dataclasses import dataclass
from pathlib import Path

from .section import require


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    path: Path = Path("data/records.csv")
    """The table: an id, numbers, and a label in the last column."""
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
    noise: float = 0.02
    """Standard deviation of the noise on a column, as a fraction of the column's."""

    def __post_init__(self) -> None:
        require(self, ("noise", 0 <= self.noise <= 1, "0 to 1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    hidden: int = 64
    """Width of the two hidden layers."""
    dropout: float = 0.1
    """Dropout probability."""

    def __post_init__(self) -> None:
        require(
            self,
            ("hidden", self.hidden >= 1, "at least 1"),
            ("dropout", 0 <= self.dropout < 1, "at least 0, less than 1"),
        )
