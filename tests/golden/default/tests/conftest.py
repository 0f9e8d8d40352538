# The template's: updates improve this file and keep your edits.
# pyright: standard
"""What the tests share: your data and configs/small.toml, with few examples and few steps."""

from collections.abc import Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

from digits.config import Config, from_dict, merge, read_toml
from digits.data import cache
from digits.data.dataset import Dataset
from digits.data.validation import Split
from digits.training import logger
from digits.training.run import Run

PROJECT = Path(__file__).parents[1]
SHORT = {
    "cache_dir": str(PROJECT / "data" / "cache"),
    "training": {
        "batch_size": 4,
        "parts": 1,
        "max_steps": 8,
        "warmup_steps": 2,
        "log_every": 2,
        "evaluate_every": 4,
        "workers": 0,
        "device": "cpu",
        "precision": "float32",
        "compile": False,
    },
}
load_split = cache.load_split
torch.set_num_threads(1)  # faster, for so few examples


def load_few(config: Config, split: Split) -> Dataset:
    """At most 32 examples, evenly spaced."""
    dataset = load_split(config, split)
    return dataset.select(np.unique(np.linspace(0, len(dataset) - 1, 32).astype(int)))


@pytest.fixture(scope="session")
def settings() -> Mapping[str, Any]:
    return merge(read_toml(PROJECT / "configs" / "small.toml"), SHORT)


@pytest.fixture(scope="session")
def config(settings: Mapping[str, Any]) -> Config:
    return from_dict(settings)


@pytest.fixture(scope="session")
def train_set(config: Config) -> Dataset:
    with chdir(PROJECT):  # your data may have a relative path
        return load_few(config, "train")


@pytest.fixture(scope="session")
def test_set(config: Config) -> Dataset:
    with chdir(PROJECT):
        return load_few(config, "test")


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, settings: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with short.toml and your data. Commands load few examples, and send
    nothing to a tracker."""
    (tmp_path / "short.toml").write_text(tomli_w.dumps(settings), encoding="utf-8")
    (PROJECT / "data").mkdir(exist_ok=True)
    (tmp_path / "data").symlink_to(PROJECT / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache, "load_split", load_few)
    monkeypatch.setattr(logger, "open_tracker", lambda *_: None)


@pytest.fixture
def run(config: Config, train_set: Dataset) -> Run:
    return Run.create("short", config, train_set)
