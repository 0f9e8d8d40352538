# The template's: updates improve this file and keep your edits.
"""report.html: metrics, learning curves, confusion matrix or residuals, worst mistakes."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..data.dataset import Dataset
from ..features.transforms import plot_example
from .evaluate import Predictions, bootstrap, is_classification

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem; }}
th, td {{ padding: 0.2rem 1rem 0.2rem 0; text-align: left; }} img {{ max-width: 100%; }}
</style></head><body><h1>{title}</h1><table>{rows}</table>{images}</body></html>
"""


def write_report(
    path: Path,
    title: str,
    history: Sequence[Mapping[str, Any]],
    predictions: Predictions,
    dataset: Dataset,
) -> dict[str, str]:
    """Write the report of a run.

    Args:
        path: of the HTML file.
        title: of the page.
        history: the lines of metrics.jsonl.
        predictions: for the dataset.
        dataset: the test split.

    Returns:
        The metrics with their confidence intervals, as text.
    """
    intervals = bootstrap(predictions.metrics, len(dataset))
    summary: dict[str, str] = {}
    for name, value in predictions.metrics().items():
        low, high = intervals[name]
        summary[name] = f"{value:.4g} (95 % CI {low:.4g} to {high:.4g})"

    figures = {"Learning curves": plot_curves(history)}
    if is_classification(dataset):
        figures["Confusion matrix"] = plot_confusion(predictions, dataset.schema.classes)
    elif predictions.targets.ndim == 1:
        figures["Predictions and residuals"] = plot_residuals(predictions)
    figures["Worst mistakes"] = plot_mistakes(predictions, dataset)

    rows = [f"<tr><th>{escape(name)}</th><td>{text}</td></tr>" for name, text in summary.items()]
    images: list[str] = []
    for heading, figure in figures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        data = base64.b64encode(buffer.getvalue()).decode()
        images.append(f"<h2>{heading}</h2><img alt='{heading}' src='data:image/png;base64,{data}'>")
    page = PAGE.format(title=escape(title), rows="".join(rows), images="".join(images))
    path.write_text(page, encoding="utf-8")
    return summary


def plot_curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """One plot per metric, with training and validation in the same."""
    names = {name for line in history for name in line if "/" in name}
    metrics = sorted({name.partition("/")[2] for name in names}, key=lambda m: (m != "loss", m))
    figure = Figure(figsize=(10, 2.8 * -(-len(metrics) // 3)), layout="constrained")
    for index, metric in enumerate(metrics, start=1):
        axes = figure.add_subplot(-(-len(metrics) // 3), 3, index)
        for split in ("train", "validation"):
            name = f"{split}/{metric}"
            points = [(line["step"], line[name]) for line in history if name in line]
            if points:
                axes.plot(*zip(*points, strict=True), marker="" if points[2:] else ".", label=split)
        axes.set(title=metric, xlabel="step")
        axes.legend()
    return figure


def plot_confusion(predictions: Predictions, classes: Sequence[str]) -> Figure:
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (predictions.targets, predictions.values.argmax(axis=1)), 1)
    side = min(1.8 + 0.3 * len(classes), 12)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.log1p(counts), cmap="Blues")
    for (label, predicted), count in np.ndenumerate(counts):
        if count and len(classes) <= 40:  # more numbers couldn't be read
            color = "white" if count > counts.max() / 3 else "black"
            axes.text(predicted, label, str(count), ha="center", va="center", color=color)
    axes.set_xticks(range(len(classes)), classes, rotation=90, parse_math=False)
    axes.set_yticks(range(len(classes)), classes, parse_math=False)
    axes.set(xlabel="predicted", ylabel="label")
    return figure


def plot_residuals(predictions: Predictions) -> Figure:
    targets, predicted = predictions.targets, predictions.values.ravel()
    figure = Figure(figsize=(8, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.scatter(targets, predicted, s=8)
    left.axline((targets.mean(), targets.mean()), slope=1, color="gray")
    left.set(xlabel="target", ylabel="predicted")
    right.hist(targets - predicted, bins=30)
    right.set(xlabel="residual (target - predicted)", ylabel="examples")
    return figure


def plot_mistakes(predictions: Predictions, dataset: Dataset) -> Figure:
    """The examples with the highest loss; of a classification, those that are wrong."""
    targets, values = predictions.targets, predictions.values
    order = np.argsort(-predictions.losses)
    if is_classification(dataset):
        order = order[values.argmax(axis=1)[order] != targets[order]]
    figure = Figure(figsize=(10, 9), layout="constrained")
    for axes in figure.subplots(4, 5).flat:
        axes.set_axis_off()
    for axes, row in zip(figure.axes, order, strict=False):
        plot_example(axes, dataset.preprocess(np.array([row]))[0])
        text = f"loss {predictions.losses[row]:.3g}"
        if is_classification(dataset):
            names, predicted = dataset.schema.classes, values[row].argmax()
            text = f"{names[targets[row]]}, predicted {names[predicted]}\n{text}"
        elif targets.ndim == 1:
            text = f"{targets[row]:.4g}, predicted {values[row].item():.4g}\n{text}"
        axes.set_title(f"{dataset.ids[row][-30:]}\n{text}", fontsize=8, parse_math=False)
    return figure
