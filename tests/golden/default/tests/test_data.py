# The template's: updates improve this file and keep your edits.
# pyright: standard
import csv
import math
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from digits.config import Config, from_dict, merge
from digits.data import cache, loader, source
from digits.data.cache import load_split  # of all examples: conftest.py replaces it in `cache`
from digits.data.dataset import Dataset
from digits.data.loader import batch_keys, load_batches, permutation
from digits.data.validation import SPLITS, Example, Schema, Unreadable, Validator
from digits.errors import DataError

PAIRS = Schema(dtype="float32", shape=(2,), low=0, high=1, classes=("a", "b"))
A, B = np.eye(2, dtype=np.float32)
VALID: dict[str, Any] = {"id": "one", "inputs": A, "target": 0, "split": "train"}
OTHER: dict[str, Any] = {"id": "two", "inputs": B}


def validate(*changes: Mapping[str, Any]) -> Validator:
    """Valid examples with these changes."""
    validator = Validator(PAIRS)
    for change in changes:
        validator.check(Example(**{**VALID, **change}))
    return validator


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"inputs": np.array([0, 1, 1], np.float32)}, "inputs float32(3,), expected float32(2,)"),
        ({"inputs": np.array([0, 1], np.float64)}, "inputs float64(2,), expected float32(2,)"),
        ({"inputs": np.array([0, math.nan], np.float32)}, "1 inputs are not finite"),
        ({"inputs": np.array([0, 2], np.float32)}, "inputs from 0 to 2, expected 0 to 1"),
        ({"target": 2}, "target 2, expected class indices from 0 to 1"),
        ({"target": np.zeros(1, int)}, "target of shape (1,), expected ()"),
        ({"target": None}, "the target is missing or not finite"),
    ],
)
def test_an_example_that_does_not_fit_the_schema_is_listed_with_its_file(
    change: Mapping[str, Any], problem: str
) -> None:
    validator = validate({**change, "file": "table.csv"})
    assert validator.problems == [f"one: {problem} (table.csv)"]


def test_leaks_between_splits_are_problems_and_duplicates_within_one_are_warnings() -> None:
    group = validate({"group": "patient"}, {**OTHER, "group": "patient", "split": "test"})
    assert group.problems == ["two: leak: in test, but one of the same group in train"]
    equal = validate({}, {"id": "two", "split": "test"})
    assert equal.problems == ["two: leak: in test, but one with equal inputs in train"]
    assert validate({}, {**OTHER, "id": "one"}).problems == ["one: this id exists already"]

    duplicates = validate({}, {"id": "two"}, {"id": "three", "target": 1})
    assert duplicates.problems == []
    duplicates.finish()
    same = "the same inputs as an earlier example"
    assert f"{same}: 1 of 3 examples, such as two" in duplicates.warnings
    assert (
        f"{same}, but another label: 1 of 3 examples, such as three, 1 of 1 in class b"
        in duplicates.warnings
    )


def test_an_empty_split_and_a_class_without_training_examples_are_problems() -> None:
    validator = validate({}, {**OTHER, "split": "test"})
    validator.finish()
    empty, missing = validator.problems
    assert empty.startswith("the validation split has none of 2 examples")
    assert missing == "class b has no training examples"
    assert "class a has no validation examples" in validator.warnings


@pytest.fixture
def fake(
    config: Config, settings: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> SimpleNamespace:
    """In place of data/source.py: random examples that fit your schema, and how often they are
    read; with a config that has a cache of its own."""
    schema, rng = source.schema(config.data), np.random.default_rng(0)
    schema = replace(schema, classes=schema.classes[:2])
    length = 2 * math.prod(schema.target_shape) + 8  # where it may vary
    shape = [length if size == -1 else size for size in schema.shape]
    low = schema.low if schema.low > -math.inf else min(schema.high, 1) - 1
    high = schema.high if schema.high < math.inf else low + 1
    examples = [
        Example(
            id=f"example {number}",
            inputs=rng.uniform(low, high, shape).astype(schema.dtype),
            target=np.full(schema.target_shape, number % 2, schema.target_dtype)[()],
            split=SPLITS[number % 3],
        )
        for number in range(60)
    ]
    fake = SimpleNamespace(examples=examples, reads=0)
    fake.schema, fake.fingerprint = (lambda _: schema), (lambda _: "fake")

    def read(_: object) -> Iterator[Example]:
        fake.reads += 1
        yield from fake.examples

    fake.read, fake.config = read, from_dict(merge(settings, {"cache_dir": "cache"}))
    monkeypatch.setattr(cache, "source", fake)
    return fake


def test_the_cache_has_every_example_and_is_built_once(fake: SimpleNamespace) -> None:
    folder = cache.prepare(fake.config)
    with (folder / "examples.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["id"], row["split"]) for row in csv.DictReader(file)]
    assert rows == [(example.id, example.split) for example in fake.examples]
    assert cache.prepare(fake.config) == folder
    assert fake.reads == 1


@pytest.mark.parametrize("damage", [Path.touch, Path.unlink])
def test_a_cache_of_which_a_file_was_changed_is_built_again(
    damage: Callable[[Path], None], fake: SimpleNamespace
) -> None:
    digest = Dataset(cache.prepare(fake.config), "train").digest
    damage(next(cache.prepare(fake.config).glob("train.*")))
    assert Dataset(cache.prepare(fake.config), "train").digest == digest
    assert fake.reads == 2


@pytest.mark.parametrize(
    ("last", "error"), [(Unreadable("last", "no image"), DataError), (None, AttributeError)]
)
def test_the_cache_is_complete_or_absent(
    last: object, error: type[Exception], fake: SimpleNamespace
) -> None:
    fake.examples.append(last)
    with pytest.raises(error):
        cache.prepare(fake.config)
    assert list(Path("cache").iterdir()) == []


@pytest.mark.parametrize("limit", [loader.MAX_SHUFFLED, 0])  # 0: as above ten million examples
def test_each_epoch_is_a_permutation_that_follows_from_the_seed_and_the_step_alone(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "MAX_SHUFFLED", limit)
    keys = list(batch_keys(9, 3, seed=0, start=0, stop=6))
    assert [(key.epoch, key.position) for key in keys[1:5]] == [(0, 1), (0, 2), (1, 0), (1, 1)]
    epochs = [np.concatenate([key.rows for key in part]) for part in (keys[:3], keys[3:])]
    other_seed = np.concatenate([key.rows for key in batch_keys(9, 3, seed=1, start=0, stop=3)])
    assert all(sorted(rows) == list(range(9)) for rows in (*epochs, other_seed))
    assert len({tuple(rows) for rows in (*epochs, other_seed)}) == 3
    resumed = batch_keys(9, 3, seed=0, start=4, stop=6)
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(keys[4:], resumed, strict=True))


@pytest.mark.parametrize("size", [1, 2, 10, 1000, 1024, 65_537])
def test_a_permutation_without_a_table_has_every_example_once_and_in_no_order(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "MAX_SHUFFLED", 0)
    order = permutation(size, 0)
    assert sorted(order) == list(range(size))
    assert np.array_equal(permutation(size, 0, places=slice(3, 9)), order[3:9])
    for distance in (1, 2, 64) if size >= 1000 else ():
        correlation = np.corrcoef(order[:-distance], order[distance:])[0, 1]
        assert abs(correlation) < 5 / math.sqrt(size)


def test_the_order_of_a_trillion_examples_takes_no_memory() -> None:
    tracemalloc.start()
    first, second = batch_keys(10**12, 512, seed=0, start=10**9, stop=10**9 + 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    rows = np.concatenate([first.rows, second.rows])
    assert len(set(rows)) == 1024
    assert 0 <= rows.min() < 10**11 < 9 * 10**11 < rows.max() < 10**12


def test_batches_are_the_same_with_any_number_of_workers(train_set: Dataset) -> None:
    batches = [
        list(load_batches(train_set, batch_keys(len(train_set), 4, 0, 5, 12), workers))
        for workers in (0, 2)
    ]
    torch.testing.assert_close(*batches, rtol=0, atol=0, equal_nan=True)


def test_a_smaller_fraction_of_the_training_examples_is_a_subset_of_a_larger(
    settings: Mapping[str, Any],
) -> None:
    subsets: list[set[int]] = []
    for fraction in (0.2, 0.5):
        config = from_dict(merge(settings, {"training": {"train_fraction": fraction}}))
        subsets.append(set(np.asarray(load_split(config, "train").rows).tolist()))
    assert set() < subsets[0] <= subsets[1]
