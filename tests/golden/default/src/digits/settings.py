# Yours: an update never touches this file.
"""Settings of the code that is yours: data, augmentation and model. Add your own here."""

from typing import Literal, Self

from pydantic import Field, model_validator

from .section import Section


class DataConfig(Section):
    path: str = "digits"
    """Folder with a subfolder of images per class, a CSV or JSON list of images, or "digits"."""
    target: str = "label"
    """Column of the list with the class, or with the number to predict."""
    task: Literal["auto", "classification", "regression"] = "auto"
    """By default regression if the target has decimals or many distinct numbers."""
    split: str = "auto"
    """auto: by folders named train, val, test; hash; a column of the list; a CSV of id, split."""
    size: int = Field(default=8, ge=2, le=4096)
    """Images are resized and center-cropped to size x size pixels."""
    color: bool = False
    """RGB instead of grayscale."""
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
    max_shift: int = Field(default=1, ge=0, le=64)
    """Largest random translation, in pixels."""
    flip: bool = False
    """Random horizontal flip. Leave it off where left and right differ, as in digits."""
    noise: float = Field(default=0.02, ge=0, le=1)
    """Standard deviation of Gaussian pixel noise; pixels are between 0 and 1."""


class ModelConfig(Section):
    channels: int = Field(default=16, ge=1)
    """Channels of the first convolution; the second has twice as many."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout probability before the last layer."""
