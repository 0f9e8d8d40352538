# The template's: updates improve this file and keep your edits.
"""Predictions of a model, their metrics with confidence intervals, and the worst mistakes."""

import csv
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch

from ..config import Config
from ..data import source
from ..data.dataset import Dataset, format_cell, open_csv
from ..data.loader import BatchKey
from ..data.validation import Array, Example, Schema
from ..features import transforms
from ..models.network import Network, per_example_loss
from ..training.device import compute_shared
from .metrics import metrics


@dataclass(frozen=True, slots=True)
class Predictions:
    values: Array  # (N, ...), what Network.postprocess returns
    targets: Array  # (N, ...)
    losses: Array  # (N,)

    def __len__(self) -> int:
        return len(self.losses)

    def metrics(self, rows: Array | slice = slice(None)) -> dict[str, float]:
        """The mean loss, and the metrics of metrics.py, of these examples."""
        loss = float(self.losses[rows].mean(dtype=np.float64))
        return {"loss": loss, **metrics(self.values[rows], self.targets[rows])}


@torch.inference_mode()
def predict(model: Network, dataset: Dataset, batch_size: int) -> Predictions:
    """Predict every example, in float32 and without dropout or augmentation."""
    device = next(chain(model.parameters(), model.buffers())).device
    was_training = model.training
    model.eval()
    plain = replace(dataset, augmentation=None)

    def predict_batch(key: BatchKey) -> tuple[Array, Array]:
        inputs, targets = plain[key]
        outputs = model(inputs.to(device))
        losses = per_example_loss(outputs, targets.to(device))
        return model.postprocess(outputs).cpu().numpy(), losses.float().cpu().numpy()

    values, losses = zip(*compute_shared(predict_batch, plain.keys(batch_size)), strict=True)
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


def write_predictions(folder: Path, predictions: Predictions, dataset: Dataset) -> str:
    """predictions.csv: one row per example, with its metadata. And mistakes.png: the worst ones.

    Returns:
        The name of the file to look at.
    """
    schema, targets = dataset.schema, predictions.targets
    columns: dict[str, Array] = {}
    if targets.ndim == 1:  # a target is one class or one number
        classes = np.array(schema.classes, dtype=object)
        columns["label"] = classes[targets] if schema.is_classification else targets
        columns |= predicted_columns(predictions.values, schema)
    columns["loss"] = predictions.losses

    names, examples = dataset.metadata()
    for name in ("predictions.csv", "mistakes.png"):
        (folder / name).unlink(missing_ok=True)  # a link there isn't followed
    with open_csv(folder / "predictions.csv") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *columns, *names])
        for (id_, *metadata), *row in zip(examples, *columns.values(), strict=True):
            writer.writerow([id_, *map(format_cell, row), *metadata])
    plot_mistakes(folder / "mistakes.png", predictions, dataset)
    return "mistakes.png"


def plot_mistakes(path: Path, predictions: Predictions, dataset: Dataset) -> None:
    """The examples with the highest loss; of a classification, those that are wrong."""
    from matplotlib.figure import Figure  # half a second, which `train` doesn't need
    from matplotlib.font_manager import FontProperties, findfont, get_font

    # Any other letter would be the same box. A matplotlibrc can name a font that has more.
    letters = get_font(findfont(FontProperties())).get_charmap().keys() | {ord("\n")}
    schema, targets, values = dataset.schema, predictions.targets, predictions.values
    order = np.argsort(-predictions.losses)
    if schema.is_classification:
        order = order[values.argmax(axis=1)[order] != targets[order]]
    figure = Figure(figsize=(10, 9), layout="constrained")
    figure.suptitle("Highest loss")
    for axes in figure.subplots(4, 5).flat:
        axes.set_axis_off()
    for axes, row in zip(figure.axes, order, strict=False):
        transforms.plot_example(axes, dataset.preprocess(np.array([row]))[0])
        text = f"loss {predictions.losses[row]:.3g}"
        if schema.is_classification:
            label, predicted = schema.classes[targets[row]], schema.classes[values[row].argmax()]
            text = f"{label}, predicted {predicted}\n{text}"
        elif targets.ndim == 1:
            text = f"{targets[row]:.4g}, predicted {np.round(values[row], 4)}\n{text}"
        text = f"{dataset.ids[row][-30:]}\n{text}"
        title = "".join(c if ord(c) in letters else ascii(c)[1:-1] for c in text)
        axes.set_title(title, fontsize=8, parse_math=False)
    figure.savefig(path, dpi=110)


@torch.inference_mode()
def predict_new(
    model: Network, schema: Schema, path: Path, config: Config, output: Path
) -> tuple[int, int]:
    """Predict new examples, which `source.read_new` reads, and write them as CSV.

    What can't be read, or doesn't fit the schema, is reported on standard error.

    Returns:
        How many examples were predicted, and how many couldn't be.
    """
    predicted, failed = 0, 0
    device = next(chain(model.parameters(), model.buffers())).device
    model.eval()

    def valid_examples() -> Iterator[Example]:
        nonlocal failed
        # How a table's columns are read was inferred from the training data.
        trained = [schema] if schema.learned else []
        for example in source.read_new(path, config.data, *trained):
            problems = list(schema.problems(example, labeled=False))
            if isinstance(example, Example) and not problems:
                yield example
            else:
                failed += 1
                print(f"{example.id}: {', '.join(problems)}", file=sys.stderr)

    examples = valid_examples()
    with open_csv(output) as file:
        writer = csv.writer(file)
        while batch := list(islice(examples, config.training.batch_size)):
            inputs = torch.from_numpy(np.stack([example.inputs for example in batch]))
            outputs = model(transforms.preprocess(inputs).to(device))
            columns = predicted_columns(model.postprocess(outputs).cpu().numpy(), schema)
            if predicted == 0:
                writer.writerow(["id", *columns])
            for example, *row in zip(batch, *columns.values(), strict=True):
                writer.writerow([example.id, *map(format_cell, row)])
            predicted += len(batch)
    return predicted, failed


def predicted_columns(values: Array, schema: Schema) -> dict[str, Array]:
    """The most probable class and its probability; or all predicted numbers."""
    if schema.is_classification:
        names = np.array(schema.classes, dtype=object)
        return {"predicted": names[values.argmax(axis=1)], "confidence": values.max(axis=1)}
    numbers = values.reshape(len(values), -1).T
    if len(numbers) == 1:
        return {"predicted": numbers[0]}
    return {f"predicted_{index}": column for index, column in enumerate(numbers)}
