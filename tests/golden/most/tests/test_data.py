# The template's: updates improve this file and keep your edits.
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from iris.config import Config, DataConfig, from_dict
from iris.data import dataset, source
from iris.data.loader import BatchOrder, load
from iris.data.validation import Schema, inspect
from iris.errors import DataError
from iris.features.transforms import augment
from iris.protocols import SPLITS, BatchKey, Record, Split, Unreadable
from iris.training.loop import records


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return from_dict({"data": {"cache_dir": str(tmp_path_factory.mktemp("cache"))}})


def test_every_record_of_the_source_fits_the_schema(config: Config) -> None:
    assert dataset.validate(config.data).problems == []


def test_splits_are_disjoint_and_together_hold_every_record(config: Config) -> None:
    ids = [name for split in SPLITS for name in records(config, split).ids]
    assert len(ids) == len(set(ids)) == sum(1 for _ in source.read(config.data))


SCHEMA = Schema(dtype="float64", shape=(2,), low=0, high=1, classes=("no", "yes"))


def entry(name: str, inputs: list[float], label: int, split: Split) -> tuple[Record, Split]:
    return Record(name, np.array(inputs, dtype=float), label), split


def test_every_problem_of_every_record_is_listed() -> None:
    findings = inspect(
        [
            entry("a", [0, 0.1], 0, "train"),
            entry("b", [0, 0.2, 0.3], 1, "train"),
            entry("c", [0, float("nan")], 5, "train"),
            entry("d", [0, 7], 1, "validation"),
            entry("a", [0, 0.4], 1, "test"),
            entry("e", [0, 0.1], 0, "test"),
            Unreadable("f", "3 cells, expected 4"),
        ],
        SCHEMA,
    )
    assert findings.problems == [
        "b: inputs of shape (3,), expected (2,)",
        "c: 1 inputs that are not finite",
        "c: label 5, expected 0 to 1",
        "d: inputs from 0 to 7, expected 0 to 1",
        "a: an id that an earlier record has",
        "e: in test, with the inputs of a in train: a leak",
        "f: 3 cells, expected 4",
    ]
    with pytest.raises(DataError, match=r"7 problems(.|\n)*and 5 more"):
        findings.raise_problems(most=2)


def test_an_empty_split_and_a_class_without_training_records_are_problems() -> None:
    findings = inspect([entry("a", [0, 0], 0, "train"), entry("b", [1, 1], 1, "test")], SCHEMA)
    assert findings.problems == [
        "the validation split is empty: change the fractions",
        "no record of class yes in the train split",
    ]


def test_bad_records_stop_the_preparation_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(config: DataConfig) -> Iterator[Record | Unreadable]:
        yield Unreadable("a", "torn")

    monkeypatch.setattr(source, "read", read)
    with pytest.raises(DataError, match="a: torn"):
        dataset.prepare(DataConfig(cache_dir=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("x1,1,2,3,setosa", "{path}, line 152: 5 cells, expected 6"),
        (",1,2,3,4,setosa", "{path}, line 152: no id"),
        ("x2,1,2,wide,4,setosa", "{path}, line 152: could not convert string to float: 'wide'"),
        (
            "x3,1,2,3,4,rose",
            "{path}, line 152: label 'rose', expected one of setosa, versicolor, virginica",
        ),
        ("x4,1,2,3,99,setosa", "x4: inputs from 1 to 99, expected 0 to 20"),
    ],
)
def test_a_bad_line_of_the_table_is_named(line: str, problem: str, tmp_path: Path) -> None:
    table = tmp_path / "records.csv"
    original = Config().data.path.read_text(encoding="utf-8")
    table.write_text(f"{original}{line}\n", encoding="utf-8")
    assert dataset.validate(DataConfig(path=table)).problems == [problem.format(path=table)]


def test_a_missing_table_is_named_with_the_way_out(tmp_path: Path) -> None:
    config = DataConfig(path=tmp_path / "nothing.csv", cache_dir=tmp_path)
    with pytest.raises(DataError, match=r"nothing\.csv': expected a file(.|\n)*--data\.path"):
        dataset.prepare(config)


def test_other_columns_than_expected_are_named(tmp_path: Path) -> None:
    table = tmp_path / "records.csv"
    table.write_text("id,width,label\n", encoding="utf-8")
    with pytest.raises(DataError, match="columns id, width, label; expected id, sepal_length"):
        dataset.validate(DataConfig(path=table))


def test_prepared_records_are_reused_until_the_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(cache_dir=tmp_path)
    first = dataset.prepare(config)
    made = (first / "train.inputs.npy").stat().st_mtime_ns
    assert dataset.prepare(config) == first
    assert (first / "train.inputs.npy").stat().st_mtime_ns == made
    monkeypatch.setattr(source, "fingerprint", repr)
    assert dataset.prepare(config) != first


def test_batches_are_a_function_of_seed_and_step(config: Config) -> None:
    order = BatchOrder(records=100, batch_size=8, seed=3)
    unbroken = [key.indices.tolist() for key in order.steps(0, 40)]
    for first in (1, 11, 12, 13, 39):
        assert [key.indices.tolist() for key in order.steps(first, 40)] == unbroken[first:]
    other = BatchOrder(records=100, batch_size=8, seed=4)
    assert [key.indices.tolist() for key in other.steps(0, 40)] != unbroken


def test_an_epoch_shows_no_record_twice() -> None:
    order = BatchOrder(records=100, batch_size=8, seed=3)
    shown = np.concatenate([key.indices for key in order.steps(0, order.batches)])
    assert len(np.unique(shown)) == order.batches * 8 == 96


def test_the_number_of_workers_does_not_change_a_batch(config: Config) -> None:
    training = records(config, "train")
    order = BatchOrder(records=len(training), batch_size=8, seed=3)
    alone = list(load(training, order.steps(3, 9), workers=0))
    for workers in (1, 2):
        for batch, same in zip(alone, load(training, order.steps(3, 9), workers), strict=True):
            assert torch.equal(batch.inputs, same.inputs)
            assert torch.equal(batch.labels, same.labels)


def test_augmentation_repeats_exactly_keeps_shape_and_changes_something(config: Config) -> None:
    training = records(config, "train")
    key = BatchKey(epoch=2, position=1, indices=np.arange(16))
    augmented, plain = training[key], training.plain()[key]
    assert torch.equal(augmented.inputs, training[key].inputs)
    assert augmented.inputs.shape == plain.inputs.shape
    assert torch.equal(augmented.labels, plain.labels)
    assert not torch.equal(augmented.inputs, plain.inputs)
    assert not torch.equal(augmented.inputs, training[key._replace(epoch=3)].inputs)


def test_augmentation_of_strength_zero_changes_nothing(config: Config) -> None:
    inputs = records(config, "train").plain()[BatchKey(0, 0, np.arange(16))].inputs.numpy()
    still = from_dict({"features": {"noise": 0.0}}).features
    assert np.array_equal(augment(inputs, np.random.default_rng(0), still), inputs)


def test_a_batch_larger_than_the_split_is_refused() -> None:
    with pytest.raises(DataError, match=r"training\.batch_size = 9: expected at most 5"):
        BatchOrder(records=5, batch_size=9, seed=0)


def test_a_source_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(source.read(DataConfig()))
    readings = iter([whole, whole[:-1], whole, [*whole, whole[0]]])

    def read(config: DataConfig) -> Iterator[Record | Unreadable]:
        return iter(next(readings))

    monkeypatch.setattr(source, "read", read)
    for _ in range(2):
        with pytest.raises(DataError, match="other records when it was read again"):
            dataset.prepare(DataConfig(cache_dir=tmp_path))
    assert list(tmp_path.iterdir()) == []
