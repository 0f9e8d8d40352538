"""Whoever brings everything replaces four files, and the rest goes on to work."""

from __future__ import annotations

import shutil
from pathlib import Path

from rendering import render
from test_projects import pytestmark, run

__all__ = ["pytestmark"]

OURS = {
    "data/source.py": '''"""Tones of three heights, drawn anew each time they are read."""

from collections.abc import Iterator

import numpy as np

from ..config import DataConfig
from ..protocols import Record, Split, Unreadable
from .validation import Schema

NAMES = ("low", "middle", "high")


def schema(config: DataConfig) -> Schema:
    """Two channels of 64 samples."""
    return Schema(dtype="float32", shape=(2, 64), low=-9, high=9, classes=NAMES)


def read(config: DataConfig) -> Iterator[Record | Unreadable]:
    """Six hundred of them."""
    random = np.random.default_rng(0)
    time = np.linspace(0, 1, 64)
    for number in range(600):
        label = number % 3
        phase, noise = random.uniform(0, 6, (2, 1)), random.normal(0, 0.3, (2, 64))
        tone = np.sin(6 * (label + 1) * time + phase) + noise
        yield Record(f"tone {number}", tone.astype(np.float32), label)


def split_of(record: Record, config: DataConfig) -> Split:
    """By number."""
    kinds: tuple[Split, ...] = ("test", "validation", *(["train"] * 8))
    return kinds[int(record.id.split()[1]) // 3 % 10]


def fingerprint(config: DataConfig) -> str:
    """It never changes."""
    return "tones 1"
''',
    "features/transforms.py": '''"""Tones as they are."""

import numpy as np
from matplotlib.axes import Axes

from ..config import FeaturesConfig
from ..protocols import Array, Keeps

KEEPS = {"prepare": Keeps(), "augment": Keeps()}


def prepare(inputs: Array) -> Array:
    """(B, 2, 64), unchanged."""
    return inputs


def augment(inputs: Array, random: np.random.Generator, config: FeaturesConfig) -> Array:
    """Louder or softer, (B, 2, 64)."""
    volume = random.normal(1, config.noise, size=(len(inputs), 1, 1))
    return (inputs * volume).astype(np.float32)


def draw(axes: Axes, inputs: Array) -> None:
    """Both channels, (2, 64)."""
    axes.plot(inputs.T)
''',
    "models/network.py": '''"""A convolution over time."""

import torch
from torch import Tensor, nn

from ..config import ModelConfig


class Network(nn.Module):
    """Finds the tone."""

    def __init__(self, config: ModelConfig, shape: tuple[int, ...], outputs: int) -> None:
        """Take the shape of a record, (channels, samples)."""
        super().__init__()
        channels, _ = shape
        self.layers = nn.Sequential(
            nn.Conv1d(channels, config.hidden, 9),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.LazyLinear(outputs),
        )
        self.layers(torch.zeros(1, *shape))

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Logits, (B, K)."""
        return self.layers(x_BCT)


def losses(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Cross-entropy, (B,)."""
    return torch.nn.functional.cross_entropy(logits_BK.float(), labels_B, reduction="none")
''',
}
"""Three files of the four; the fourth is the configs, of which each may stay."""


def test_four_files_replaced_and_everything_passes(template: Path, tmp_path: Path) -> None:
    project = render(template, tmp_path / "tones", starter="blank")
    for name, text in OURS.items():
        (project / "src/tones" / name).write_text(text, encoding="utf-8")
    shutil.rmtree(project / "data")
    for command in (
        ["validate"],
        ["features"],
        ["overfit", "--config", "configs/overfit.toml"],
        ["train", "--config", "configs/small.toml"],
        ["evaluate", "runs/small"],
    ):
        run(project, "python", "-m", "tones.cli", *command)
    run(project, "lint-imports")
    run(project, "python", "-m", "pytest", "-p", "no:cacheprovider")
