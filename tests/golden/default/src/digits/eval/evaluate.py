# The template's: updates improve this file and keep your edits.
"""Predictions of a model, their metrics with confidence intervals, and CSV files of them."""

import csv
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import Config
from ..data import source
from ..data.dataset import Dataset, format_cell, open_csv
from ..data.validation import Array, Example, Schema, Unreadable
from ..features import transforms
from ..models.network import Network, per_example_loss
from .metrics import metrics


@dataclass(frozen=True, slots=True)
class Predictions:
    values: Array  # (N, ...), what Network.postprocess returns
    targets: Array  # (N, ...)
    losses: Array  # (N,)

    def metrics(self, rows: Array | slice = slice(None)) -> dict[str, float]:
        """The mean loss, and the metrics of metrics.py, of these examples."""
        loss = float(self.losses[rows].mean(dtype=np.float64))
        return {"loss": loss, **metrics(self.values[rows], self.targets[rows])}


@torch.inference_mode()
def predict(model: Network, dataset: Dataset, batch_size: int) -> Predictions:
    """Predict every example, in float32 and without dropout or augmentation."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    values: list[Array] = []
    losses: list[Array] = []
    for inputs, targets in replace(dataset, augmentation=None).batches(batch_size):
        outputs = model(inputs.to(device))
        values.append(model.postprocess(outputs).cpu().numpy())
        losses.append(per_example_loss(outputs, targets.to(device)).float().cpu().numpy())
    model.train(was_training)
    return Predictions(np.concatenate(values), dataset.targets, np.concatenate(losses))


def bootstrap(
    metrics_of: Callable[[Array], Mapping[str, float]], count: int
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap confidence intervals over examples. Another training run would add to them.

    Source: Efron (1979), https://doi.org/10.1214/aos/1176344552.

    Args:
        metrics_of: the metrics of these rows, which were drawn with replacement.
        count: number of examples.
    """
    repeats = int(np.clip(10**6 // count, 50, 300))  # fewer for large splits
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a metric may be undefined for a sample
        samples = [metrics_of(rng.integers(count, size=count)) for _ in range(repeats)]
        intervals: dict[str, tuple[float, float]] = {}
        for name in samples[0]:
            low, high = np.nanquantile([sample[name] for sample in samples], (0.025, 0.975))
            intervals[name] = float(low), float(high)
    return intervals


def is_classification(dataset: Dataset) -> bool:
    """Whether a target is the index of one class."""
    return bool(dataset.schema.classes) and dataset.targets.ndim == 1


def write_predictions(path: Path, predictions: Predictions, dataset: Dataset) -> None:
    """predictions.csv: one row per example, with its metadata."""
    columns: dict[str, Any] = {}
    if is_classification(dataset):
        names = np.array(dataset.schema.classes, dtype=object)
        columns["label"] = names[predictions.targets]
        columns["predicted"] = names[predictions.values.argmax(axis=1)]
        columns["confidence"] = predictions.values.max(axis=1)
    elif predictions.targets.ndim == 1:
        columns["label"] = predictions.targets
        columns["predicted"] = predictions.values.reshape(len(dataset))
    columns["loss"] = predictions.losses

    names, examples = dataset.metadata()
    with open_csv(path) as file:
        writer = csv.writer(file)
        writer.writerow(["id", *columns, *names])
        for (id_, *metadata), *row in zip(examples, *columns.values(), strict=True):
            writer.writerow([id_, *map(format_cell, row), *metadata])


def predict_new(
    model: Network, schema: Schema, path: Path, config: Config, output: Path
) -> tuple[int, int]:
    """Predict new examples, which `source.read_new` reads, and write them as CSV.

    Columns are id, predicted and confidence for a classification, else id and one or more numbers.
    What can't be read, or doesn't fit the schema, is reported on standard error. The new examples
    have to fit into the memory.

    Returns:
        How many examples were predicted, and how many couldn't be.
    """
    examples: list[Example] = []
    failed = 0
    for example in source.read_new(path, config.data):
        if isinstance(example, Unreadable):
            problems = [example.problem]
        else:
            problems = list(schema.input_problems(example.inputs))
        if isinstance(example, Example) and not problems:
            examples.append(example)
        else:
            failed += 1
            print(f"{example.id}: {', '.join(problems)}", file=sys.stderr)

    classes = schema.classes if schema.target_shape == () else ()
    numbers = [f"predicted_{index}" for index in range(int(np.prod(schema.target_shape)))]
    header = ["predicted", "confidence"] if classes else numbers if numbers[1:] else ["predicted"]
    with open_csv(output) as file:
        writer = csv.writer(file)
        writer.writerow(["id", *header])
        for first in range(0, len(examples), config.training.batch_size):
            batch = examples[first : first + config.training.batch_size]
            values = _predict_inputs(model, np.stack([example.inputs for example in batch]))
            for example, value in zip(batch, values, strict=True):
                cells = [classes[value.argmax()], value.max()] if classes else value.ravel()
                writer.writerow([example.id, *map(format_cell, cells)])
    return len(examples), failed


@torch.inference_mode()
def _predict_inputs(model: Network, inputs: Array) -> Array:
    device = next(model.parameters()).device
    outputs = model.eval()(transforms.preprocess(torch.from_numpy(inputs)).to(device))
    return model.postprocess(outputs).cpu().numpy()
