# The template's: updates improve this file and keep your edits.
"""Properties of preprocessing and augmentation, on your examples."""

import numpy as np
import pytest
import torch
from torch import Tensor

from digits.config import Config
from digits.data.dataset import Dataset
from digits.data.loader import BatchKey, generator
from digits.features import transforms

SIZES = [1, 3, 16]  # of batches


def require_equal(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def require_in_range(values: Tensor) -> None:
    low, high = transforms.RANGE
    known = values[~values.isnan()]
    assert bool((known.isfinite() & (known >= low) & (known <= high)).all())


@pytest.mark.parametrize("size", SIZES)
def test_preprocessing_maps_each_example_alone_and_into_the_range(
    size: int, train_set: Dataset
) -> None:
    batch = train_set.preprocess(np.arange(size))
    require_in_range(batch)
    alone = [train_set.preprocess(np.array([row])) for row in range(size)]
    require_equal(batch, torch.cat(alone))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_augmentation_keeps_shape_type_and_range_and_draws_only_from_its_generator(
    size: int, seed: int, config: Config, train_set: Dataset
) -> None:
    batch = train_set.preprocess(np.arange(size))
    first, again = (
        transforms.augment(batch.clone(), generator(seed, "augment"), config.features)
        for _ in range(2)  # of which the global generators would give other numbers
    )
    require_equal(first, again)
    require_in_range(first)
    assert (first.shape, first.dtype) == (batch.shape, batch.dtype)


def test_held_out_examples_are_not_augmented(test_set: Dataset) -> None:
    rows = np.arange(8)
    inputs, _ = test_set[BatchKey(0, 0, rows)]
    require_equal(inputs, test_set.preprocess(rows))
