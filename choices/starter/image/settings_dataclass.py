# Yours: an update never touches this file.
"""Settings of the code that is yours: data, augmentation and model. Add your own here."""

from dataclasses import dataclass
from typing import Literal

from .section import require


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    path: str = "digits"
    """Folder with a subfolder of images per class, a CSV or JSON list of images, or "digits"."""
    target: str = "label"
    """Column of the list with the class, or with the number to predict."""
    task: Literal["auto", "classification", "regression"] = "auto"
    """By default regression if the target has decimals or many distinct numbers."""
    split: str = "auto"
    """auto: by folders named train, val, test; hash; a column of the list; a CSV of id, split."""
    size: int = 8
    """Images are resized and center-cropped to size x size pixels."""
    color: bool = False
    """RGB instead of grayscale."""
    validation_fraction: float = 0.1
    """Fraction of the examples used for validation."""
    test_fraction: float = 0.1
    """Fraction of the examples used for the final test."""

    def __post_init__(self) -> None:
        held_out = self.validation_fraction + self.test_fraction
        require(
            self,
            ("size", 2 <= self.size <= 4096, "2 to 4096"),
            ("validation_fraction", 0 < self.validation_fraction < 1, "more than 0, less than 1"),
            ("test_fraction", 0 < self.test_fraction < 1, "more than 0, less than 1"),
            ("validation_fraction + test_fraction", held_out < 1, "less than 1"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesConfig:
    max_shift: int = 1
    """Largest random translation, in pixels."""
    flip: bool = False
    """Random horizontal flip. Leave it off where left and right differ, as in digits."""
    noise: float = 0.02
    """Standard deviation of Gaussian pixel noise; pixels are between 0 and 1."""

    def __post_init__(self) -> None:
        require(
            self,
            ("max_shift", 0 <= self.max_shift <= 64, "0 to 64"),
            ("noise", 0 <= self.noise <= 1, "0 to 1"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    channels: int = 16
    """Channels of the first convolution; the second has twice as many."""
    dropout: float = 0.1
    """Dropout probability before the last layer."""

    def __post_init__(self) -> None:
        require(
            self,
            ("channels", self.channels >= 1, "at least 1"),
            ("dropout", 0 <= self.dropout < 1, "at least 0, less than 1"),
        )
