# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from iris.config import Config, DataConfig, from_dict
from iris.data import cache, source
from iris.data.loader import BatchOrder, load
from iris.data.validation import Schema, inspect
from iris.errors import DataError
from iris.features import check, transforms
from iris.features.transforms import augment
from iris.protocols import SPLITS, Array, BatchKey, Record, Split, Unreadable
from iris.training.loop import load_split

PROJECT = Path(__file__).parents[1]
STILL = from_dict({"features": {"noise": 0.0}})
STRONG = from_dict({"features": {}})


def identical(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Bit for bit: NaN, which stands where something is missing, equals itself."""
    return one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return from_dict({"data": {"cache_dir": str(tmp_path_factory.mktemp("cache"))}})


def test_every_record_of_the_source_fits_the_schema(config: Config) -> None:
    assert cache.validate(config.data).problems == []


def test_splits_are_disjoint_and_together_hold_every_record(config: Config) -> None:
    ids = [name for split in SPLITS for name in load_split(config, split).ids]
    assert len(ids) == len(set(ids)) == sum(1 for _ in source.read(config.data))


SCHEMA = Schema(dtype="float64", shape=(2,), low=0, high=1, classes=("no", "yes"))


def entry(name: str, inputs: list[float], label: int, split: Split) -> tuple[Record, Split]:
    return Record(name, np.array(inputs, dtype=float), label), split


def said(problems: Sequence[object]) -> list[str]:
    return [str(problem) for problem in problems]


def test_every_problem_of_every_record_is_listed_the_worst_first() -> None:
    torn = Record("g", np.array([0, 0.6]), 1, file="here.csv")
    findings = inspect(
        [
            entry("a", [0, 0.1], 0, "train"),
            entry("b", [0, 0.2, 0.3], 1, "train"),
            entry("c", [0, float("nan")], 5, "train"),
            entry("d", [0, 7], 1, "validation"),
            entry("a", [0, 0.4], 1, "test"),
            entry("e", [0, 0.1], 0, "test"),
            Unreadable("f", "3 cells, expected 4", "here.csv"),
            (replace(torn, group="x"), "train"),
            (replace(torn, id="h", inputs=np.array([0, 0.7]), group="x"), "test"),
        ],
        SCHEMA,
    )
    assert said(findings.problems) == [
        "e: in test, with the inputs of a in train: a leak",
        "h: in test, with g of its group x in train: a leak (here.csv)",
        "f: 3 cells, expected 4 (here.csv)",
        "c: label 5, expected 0 to 1",
        "b: inputs of shape (3,), expected (2,)",
        "c: 1 inputs that are not finite",
        "d: inputs from 0 to 7, expected 0 to 1",
        "a: an id that an earlier record has",
    ]
    with pytest.raises(DataError, match=r"8 problems .*2 of leak(.|\n)*and 6 more"):
        findings.raise_problems(most=2)


def test_an_empty_split_and_a_class_without_training_records_are_problems() -> None:
    findings = inspect([entry("a", [0, 0], 0, "train"), entry("b", [1, 1], 1, "test")], SCHEMA)
    assert said(findings.problems) == [
        "no record of class yes in the train split",
        "the validation split is empty: change the fractions",
    ]
    single = replace(SCHEMA, classes=("no",))
    assert "one class only, no: there is nothing to tell apart" in said(
        inspect([entry("a", [0, 0], 0, "train")], single).problems
    )


def test_contradictions_and_imbalance_are_warnings() -> None:
    entries = [entry(f"a{each}", [0, each / 100], 0, "train") for each in range(90)]
    entries += [entry("b", [0, 0], 1, "train"), entry("v", [1, 1], 1, "validation")]
    entries += [entry("t", [1, 0.5], 1, "test")]
    found = inspect(entries, SCHEMA)
    remarks = {each.kind: str(each) for each in found.remarks}
    assert remarks["contradiction"] == "b: other label than a0, with its inputs"
    assert remarks["balance"] == "90 records of no, 1 of yes in the train split"


def test_bad_records_stop_the_preparation_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(config: DataConfig) -> Iterator[Record | Unreadable]:
        yield Unreadable("a", "torn")

    monkeypatch.setattr(source, "read", read)
    with pytest.raises(DataError, match="a: torn"):
        cache.prepare(DataConfig(cache_dir=tmp_path / "cache"))
    assert not [*tmp_path.glob("cache/*/")]


def test_prepared_records_are_reused_until_the_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(cache_dir=tmp_path)
    first = cache.prepare(config)
    made = first.stat().st_ino
    assert cache.prepare(config) == first
    assert first.stat().st_ino == made
    monkeypatch.setattr(source, "fingerprint", repr)
    assert cache.prepare(config) != first


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing", "unlisted"])
def test_damaged_records_are_prepared_again_and_never_used(damage: str, tmp_path: Path) -> None:
    config = DataConfig(cache_dir=tmp_path)
    folder = cache.prepare(config)
    victim = max(folder.iterdir(), key=lambda path: path.stat().st_size)
    intact = victim.read_bytes()
    if damage == "truncated":
        victim.write_bytes(intact[:200])
    elif damage == "altered":
        victim.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    elif damage == "missing":
        victim.unlink()
    else:
        (folder / "manifest.json").write_text("{}", encoding="utf-8")
    assert cache.prepare(config) == folder
    assert victim.read_bytes() == intact
    assert [path.name for path in tmp_path.glob("*/")] == [folder.name]


def test_two_processes_may_prepare_the_same_records_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from iris.config import DataConfig\n"
        "from iris.data.cache import prepare\n"
        "prepare(DataConfig(cache_dir=Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    several = [subprocess.Popen(command, cwd=PROJECT, env=environment) for _ in range(3)]
    assert [process.wait() for process in several] == [0, 0, 0]
    (folder,) = tmp_path.glob("*/")
    made = folder.stat().st_ino
    assert cache.prepare(DataConfig(cache_dir=tmp_path)).stat().st_ino == made


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
    training = load_split(config, "train")
    order = BatchOrder(records=len(training), batch_size=8, seed=3)
    alone = list(load(training, order.steps(3, 9), workers=0))
    for workers in (1, 2):
        for batch, same in zip(alone, load(training, order.steps(3, 9), workers), strict=True):
            assert identical(batch.inputs, same.inputs)
            assert identical(batch.labels, same.labels)


def test_the_transforms_keep_their_word(config: Config) -> None:
    checked = check.check(STRONG, load_split(config, "train"))
    assert [str(promise) for promise in checked.promises if promise.broken] == []
    assert not np.array_equal(checked.prepared, checked.augmented)


def test_a_transform_that_breaks_its_word_is_named_with_the_record_that_shows_it(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = load_split(config, "train")

    def drifting(inputs: Array, random: np.random.Generator, config: object) -> Array:
        changed = inputs.copy()
        changed[5] = np.random.default_rng().integers(0, 200, size=inputs.shape[1:])
        return changed

    monkeypatch.setattr(transforms, "augment", drifting)
    checked = check.check(config, training)
    assert not checked.passed
    (broken,) = (each for each in checked.promises if each.says == "repeats with the same chance")
    assert broken.broken.startswith("by ")
    assert broken.broken.removeprefix("by ") in training.ids


def test_augmentation_repeats_exactly_and_differs_from_epoch_to_epoch(config: Config) -> None:
    strongly = partial(augment, config=STRONG.features)
    training = replace(load_split(config, "train"), augment=strongly)
    key = BatchKey(epoch=2, position=1, indices=np.arange(16))
    augmented, plain = training[key], training.plain()[key]
    assert identical(augmented.inputs, training[key].inputs)
    assert identical(augmented.labels, plain.labels)
    assert not identical(augmented.inputs, training[key._replace(epoch=3)].inputs)


def test_augmentation_of_strength_zero_changes_nothing(config: Config) -> None:
    inputs = load_split(config, "train").plain()[BatchKey(0, 0, np.arange(16))].inputs.numpy()
    still = augment(inputs, np.random.default_rng(0), STILL.features)
    assert np.array_equal(still, inputs, equal_nan=inputs.dtype.kind == "f")


def test_a_batch_larger_than_the_split_is_refused() -> None:
    with pytest.raises(DataError, match=r"training\.batch_size = 9: expected at most 5"):
        BatchOrder(records=5, batch_size=9, seed=0)
