# The template's: updates improve this file and keep your edits.
"""report.html: metrics, learning curves, loss by position, worst documents, generated text."""

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..data.dataset import Dataset
from ..data.source import TOKENIZER
from ..data.validation import Array
from .evaluate import GENERATED, Predictions, bootstrap, generate

SHOWN = 15  # documents with the highest loss
SAMPLES = 4  # of generated text
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem; }}
th, td {{ padding: 0.2rem 1rem 0.2rem 0; text-align: left; }} img {{ max-width: 100%; }}
div {{ display: flex; flex-wrap: wrap; gap: 1rem; }} pre {{ overflow-x: auto; }}
</style></head><body><h1>{title}</h1>{body}</body></html>
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
    intervals = bootstrap(predictions.metrics, len(predictions.documents))
    summary: dict[str, str] = {}
    for name, value in predictions.metrics().items():
        low, high = intervals[name]
        summary[name] = f"{value:.4g} (95 % CI {low:.4g} to {high:.4g})"
    body = [
        _table(summary.items()),
        "<h2>Learning curves</h2>",
        _curves(history),
        "<h2>Loss by position in the window</h2>",
        _loss_by_position(predictions.loss_by_position),
        "<h2>Worst documents</h2>",
        _worst_documents(predictions, dataset),
        "<h2>Generated text</h2>",
        "<p>Text of the test split, and in bold how the model continues it.</p>",
        _samples(predictions, dataset),
    ]
    page = PAGE.format(title=escape(title), body="".join(body))
    path.write_text(page, encoding="utf-8")
    return summary


def _table(rows: Iterable[Sequence[str]]) -> str:
    lines: list[str] = []
    for name, *cells in rows:
        columns = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        lines.append(f"<tr><th>{escape(name)}</th>{columns}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _image(figure: Figure, description: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    data = base64.b64encode(buffer.getvalue()).decode()
    size = f"width='{75 * figure.get_figwidth():.0f}'"
    return f"<img alt='{escape(description)}' {size} src='data:image/png;base64,{data}'>"


def _curves(history: Sequence[Mapping[str, Any]]) -> str:
    """One plot per metric, with training and validation in the same."""
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for line in history:
        for name, value in line.items():
            split, _, metric = name.partition("/")
            if metric:
                curves.setdefault(metric, {}).setdefault(split, []).append((line["step"], value))
    plots: list[str] = []
    for metric, splits in curves.items():
        figure = Figure(figsize=(4, 2.8), layout="constrained")
        axes = figure.subplots()
        for split, points in splits.items():
            marker = "." if len(points) < 3 else ""
            axes.plot(*zip(*points, strict=True), marker=marker, label=split)
        axes.set(title=metric, xlabel="step")
        axes.legend()
        plots.append(_image(figure, f"Learning curve: {metric}"))
    return f"<div>{''.join(plots)}</div>"


def _loss_by_position(nats_T: Array) -> str:
    """If the curve still falls at its right end, a longer context would help."""
    figure = Figure(figsize=(4, 2.8), layout="constrained")
    axes = figure.subplots()
    width = max(1, len(nats_T) // 64)  # positions that are averaged
    bits = nats_T[: len(nats_T) // width * width].reshape(-1, width).mean(axis=1) / math.log(2)
    axes.plot(width * np.arange(len(bits)) + (width + 1) / 2, bits)
    axes.set(xlabel="tokens of context", ylabel="bits per token", xscale="log", ylim=(0, None))
    return _image(figure, "Bits per token by position in the window")


def _worst_documents(predictions: Predictions, dataset: Dataset) -> str:
    order = np.argsort(-predictions.bits_per_byte, kind="stable")
    documents = dataset.metadata()[1]
    rows = [("document", "bits per byte", "bytes")]
    for index in order[:SHOWN]:
        id_ = documents[predictions.documents[index]][0]
        bits, size = predictions.bits_per_byte[index], predictions.num_bytes[index]
        rows.append((id_, f"{bits:.3f}", f"{size:,.0f}"))
    return f"<p>Those with the highest loss, of {len(order)}:</p>{_table(rows)}"


def _samples(predictions: Predictions, dataset: Dataset) -> str:
    """Continuations of a few windows, evenly spaced."""
    rows = np.linspace(0, len(dataset) - 1, min(SAMPLES, len(dataset))).astype(int)
    prompts = dataset.preprocess(rows).numpy()
    generated = generate(predictions.model, prompts, dataset.context, seed=dataset.seed)
    parts: list[str] = []
    for row, prompt, continuation in zip(rows, prompts, generated, strict=True):
        before, after = escape(_text(prompt[-GENERATED:])), escape(_text(continuation))
        parts.append(f"<p>{escape(dataset.ids[row])}</p><pre>{before}<b>{after}</b></pre>")
    return "".join(parts)


def _text(tokens: Array) -> str:
    """Readable text: other characters, such as a part of one, are replaced."""
    text = TOKENIZER.decode(tokens).decode(errors="replace")
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
