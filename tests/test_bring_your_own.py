"""An owner replaces their own files, and every step works for another task.

These are source.py, settings.py, transforms.py, network.py, metrics.py and configs/. None of the
template's files is changed.
"""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

import numpy as np
import pytest
from rendering import render
from test_projects import pytestmark, run
from test_starters import replace

__all__ = ["pytestmark"]

SOURCE = '''\
"""Synthetic examples."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..settings import DataConfig
from .validation import Example, Schema, Split, Unreadable

FOLDS: tuple[Split, ...] = ("test", "validation", *(["train"] * 8))


def schema(config: DataConfig) -> Schema:
    return Schema({schema})


def read(config: DataConfig) -> Iterator[Example | Unreadable]:
    return generate(config.examples)


def read_new(path: Path, config: DataConfig) -> Iterator[Example | Unreadable]:
    return (replace(example, target=None) for example in generate(5))


def fingerprint(config: DataConfig) -> str:
    return "synthetic"


def generate(count: int) -> Iterator[Example]:
    rng = np.random.default_rng(0)
    for number in range(count):
{generate}
        split = FOLDS[number // 3 % 10]
        yield Example(id=f"example {{number}}", inputs=inputs, target=target, split=split)
'''

SETTINGS = '''\
"""Other settings than the starter's."""

from .section import Section


class DataConfig(Section):
    examples: int = 300
    """Number of examples."""


class FeaturesConfig(Section):
    jitter: float = 0.02
    """Standard deviation of Gaussian noise."""


class ModelConfig(Section):
    units: int = 32
    """Width of the hidden layer."""
'''

TRANSFORMS = '''\
"""Numbers as they are, and pixels between 0 and 1."""

import torch
from matplotlib.axes import Axes
from torch import Tensor

from ..settings import FeaturesConfig

RANGE = (-9.0, 9.0)


def preprocess(inputs: Tensor) -> Tensor:
    return inputs[:, None].float() / 255 if inputs.dtype == torch.uint8 else inputs


def augment(inputs: Tensor, rng: torch.Generator, config: FeaturesConfig) -> Tensor:
    return inputs + torch.randn(inputs.shape, generator=rng) * config.jitter


def plot_example(axes: Axes, inputs: Tensor) -> None:
    axes.plot(inputs.flatten())
'''

NETWORK = '''\
"""Two layers."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..settings import ModelConfig


class Network(nn.Module):
    def __init__(self, config: ModelConfig, shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        units = config.units
        self.layers = nn.Sequential({layers})

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def postprocess(self, outputs: Tensor) -> Tensor:
        return {predictions}


def per_example_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return {loss}
'''

METRICS = '''\
"""One metric."""

import numpy as np

from ..data.validation import Array


def metrics(predictions: Array, targets: Array) -> dict[str, float]:
    return {{"score": float({metric})}}
'''

CONFIGS = {
    "small.toml": "[training]\nmax_steps = 60\nwarmup_steps = 10\nbatch_size = 16\n\n[checkpoint]\n"
    'metric = "validation/score"\nmode = "max"\n',
    "overfit.toml": "[features]\njitter = 0.0\n\n[training]\nmax_steps = 200\nbatch_size = 16\n"
    "learning_rate = 0.01\nweight_decay = 0.0\n",
}
"""The mode has to be given, since it can't be inferred from the name `score`."""

PERCEPTRON = "nn.Flatten(), nn.Linear(math.prod(shape), units), nn.ReLU(), nn.Linear(units, {})"
MASK = "nn.Conv2d(1, units, 5, padding=2), nn.ReLU(), nn.Conv2d(units, num_outputs, 1)"


@dataclass(frozen=True, kw_only=True)
class Task:
    """The code that differs between tasks, inserted into the files above."""

    starter: str = "blank"
    schema: str
    generate: str
    """Sets `inputs` and `target` of one example."""
    layers: str = PERCEPTRON.format("num_outputs")
    predictions: str = "outputs"
    loss: str
    metric: str
    columns: list[str]
    """The columns of the predictions for new examples."""

    def files(self) -> dict[str, str]:
        """The owner's files, by their path in the package."""
        generate = indent(dedent(self.generate).strip("\n"), 8 * " ")
        return {
            "settings.py": SETTINGS,
            "data/source.py": SOURCE.format(schema=self.schema, generate=generate),
            "features/transforms.py": TRANSFORMS,
            "models/network.py": NETWORK.format(
                layers=self.layers, predictions=self.predictions, loss=self.loss
            ),
            "eval/metrics.py": METRICS.format(metric=self.metric),
        }


TASKS = {
    "classification of two-channel signals": Task(
        schema='dtype="float32", shape=(2, 64), low=-9, high=9, classes=("low", "middle", "high")',
        generate="""
            target = number % 3
            phases, noise = rng.uniform(0, 6, (2, 1)), rng.normal(0, 0.2, (2, 64))
            tones = np.sin(6 * (target + 1) * np.linspace(0, 1, 64) + phases)
            inputs = (tones + noise).astype(np.float32)
        """,
        layers="nn.Conv1d(shape[0], units, 9), nn.ReLU(), nn.Flatten(), "
        "nn.Linear(units * (shape[1] - 8), num_outputs)",
        predictions="outputs.softmax(dim=1)",
        loss='functional.cross_entropy(outputs, targets, reduction="none")',
        metric="(predictions.argmax(axis=1) == targets).mean()",
        columns=["id", "predicted", "confidence"],
    ),
    "multi-label classification": Task(
        schema='dtype="float32", shape=(16,), target_shape=(4,), target_dtype="float32"',
        generate="""
            target = rng.integers(0, 2, 4).astype(np.float32)
            inputs = rng.normal(target.repeat(4), 0.3).astype(np.float32)
        """,
        predictions="outputs.sigmoid()",
        loss="functional.binary_cross_entropy_with_logits("
        'outputs, targets, reduction="none").mean(dim=1)',
        metric="((predictions > 0.5) == (targets > 0.5)).all(axis=1).mean()",
        columns=["id", "predicted_0", "predicted_1", "predicted_2", "predicted_3"],
    ),
    "semantic segmentation": Task(
        starter="image",
        schema='dtype="uint8", shape=(16, 16), low=0, high=255, classes=("background", "disk"), '
        "target_shape=(16, 16)",
        generate="""
            rows, columns = np.mgrid[:16, :16] - rng.integers(4, 12, (2, 1, 1))
            target = (np.hypot(rows, columns) < rng.uniform(2, 4)).astype(np.int64)
            inputs = (150 * target + rng.integers(0, 60, (16, 16))).astype(np.uint8)
        """,
        layers=MASK,
        predictions="outputs.argmax(dim=1)",
        loss='functional.cross_entropy(outputs, targets, reduction="none").mean(dim=(1, 2))',
        metric="(predictions & targets).sum() / max(1, (predictions | targets).sum())",
        columns=["id", *(f"predicted_{pixel}" for pixel in range(256))],
    ),
    "multi-step forecasting": Task(
        schema='dtype="float32", shape=(24,), target_shape=(6,), target_dtype="float32"',
        generate="""
            wave = np.sin(np.arange(30) / 3 + rng.uniform(0, 6)) + rng.normal(0, 0.02, 30)
            inputs, target = np.split(wave.astype(np.float32), [24])
        """,
        loss="(outputs - targets).square().mean(dim=1)",
        metric="-np.abs(predictions - targets).mean()",
        columns=["id", *(f"predicted_{horizon}" for horizon in range(6))],
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_every_step_passes_for_another_task(name: str, template: Path, tmp_path: Path) -> None:
    task = TASKS[name]
    project = render(template, tmp_path / "mine", starter=task.starter)
    for path, text in task.files().items():
        (project / "src/mine" / path).write_text(text, encoding="utf-8")
    shutil.rmtree(project / "configs")
    (project / "configs").mkdir()
    for file, text in CONFIGS.items():
        (project / "configs" / file).write_text(text, encoding="utf-8")

    printed = run(project, "python", "-m", "mine.cli", "validate")
    counts_classes = name == "classification of two-channel signals"
    assert ("train: 240 examples {" in printed) == counts_classes, "a mask has no one class"
    for command in (
        ["features"],
        ["overfit", "--config", "configs/overfit.toml"],
        ["train", "--config", "configs/small.toml"],
        ["evaluate", "runs/small"],
        ["predict", "runs/small", "configs"],
    ):
        run(project, "python", "-m", "mine.cli", *command)
    with (project / "predictions.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == task.columns
    assert [len(row) for row in rows] == [len(header)] * 5
    if name == "classification of two-channel signals":
        ignored = "--ignore=tests/test_resume.py"  # takes a minute; test_projects.py has it
        run(project, "python", "-m", "pytest", "-p", "no:cacheprovider", "--quiet", ignored)


def test_the_blank_starter_predicts_a_number_with_its_own_network_and_metrics(
    template: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "mine", starter="blank")
    source = project / "src/mine/data/source.py"
    text = source.read_text(encoding="utf-8")
    for old, new in (
        ("classes=CLASSES", 'target_dtype="float32"'),
        ("label not in CLASSES", "not label"),
        ("CLASSES.index(label)", "float(label)"),
    ):
        assert old in text
        text = text.replace(old, new)
    source.write_text(text, encoding="utf-8")
    rng = np.random.default_rng(0)
    with (project / "data/records.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
        writer.writerow(["id", *names, "label"])
        for number in range(400):
            row = rng.uniform(0, 9, 4).round(2)
            writer.writerow([number, *row, 1000 * row[0] - 500 * row[3]])

    for command in (
        ["validate"],
        ["overfit", "--config", "configs/overfit.toml"],
        ["train", "--config", "configs/small.toml"],
        ["evaluate", "runs/small"],
        ["predict", "runs/small", "data/records.csv"],
    ):
        run(project, "python", "-m", "mine.cli", *command)
    metrics = json.loads((project / "runs/small/metrics.json").read_text(encoding="utf-8"))
    assert metrics["metrics"]["r2"]["value"] > 0.9

    # A second number, such as an uncertainty, is predicted beside it.
    replace(project / "src/mine/models/network.py", "outputs[:, 0] if", "outputs if")
    both = "if True:\n        predictions, _ = predictions.T"
    replace(project / "src/mine/eval/metrics.py", "if predictions.ndim == 1:", both)
    run(project, "python", "-m", "mine.cli", "evaluate", "runs/small")
    header = (project / "runs/small/predictions.csv").read_text(encoding="utf-8").partition("\n")[0]
    assert header.startswith("id,label,predicted_0,predicted_1,loss,")
