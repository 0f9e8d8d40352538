# Yours: an update never touches this file.
"""Where the records come from: 1,797 scans of handwritten digits, 8 by 8 pixels.

To bring your own data, rewrite this file; everything else follows from its four names. The scans
ship with scikit-learn and are part of https://archive.ics.uci.edu/dataset/80 (Alpaydin & Kaynak,
1998).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import cast

import numpy as np

from ..config import DataConfig
from ..protocols import Array, Record, Split, Unreadable
from .validation import Schema, content

SCHEMA = Schema(dtype="uint8", shape=(8, 8), low=0, high=16, classes=tuple("0123456789"))


def read(config: DataConfig) -> Iterator[Record | Unreadable]:
    """Every record, one at a time; what can't be read is given as `Unreadable`."""
    from sklearn.datasets import load_digits  # takes a second: only when the cache is cold

    images, labels = cast("tuple[Array, Array]", load_digits(return_X_y=True))
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield Record(f"digit-{row:04d}", image.reshape(8, 8).astype(np.uint8), int(label))


def split_of(record: Record, config: DataConfig) -> Split:
    """The split of a record, by its content: duplicates stay together, and new data moves nothing.

    Where records belong together (a patient, a speaker), derive it from what they share instead.
    """
    share = int.from_bytes(content(record.inputs)[:4], "big") / 2**32
    if share < config.test_fraction:
        return "test"
    return "validation" if share < config.test_fraction + config.validation_fraction else "train"


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the source does."""
    return f"scikit-learn {version('scikit-learn')}"
