# The template's: updates improve this file and keep your edits.
"""The report of a run: metrics, learning curves, the hardest documents, generated text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from ..data.dataset import Dataset
from ..data.loader import derive_seed
from ..data.source import TOKENIZER
from ..protocols import Array, History
from .evaluate import Predictions, write_on
from .page import image, learning_curves, table, write_page

SAMPLES = 4
LENGTH = 200  # tokens of a sample


def write_report(
    path: Path,
    *,
    title: str,
    about: str,
    history: History,
    predictions: Predictions,
    model: nn.Module,
    training: Dataset,
    dataset: Dataset,
) -> dict[str, str]:
    """Write the report.

    Args:
        path: of the HTML file.
        title: the run's name.
        about: a line on the checkpoint and the split.
        history: the lines of `metrics.jsonl`.
        predictions: for the dataset.
        model: that made them.
        training: the text that it was trained on.
        dataset: the text that the predictions are for.

    Returns:
        The metrics with their confidence intervals.
    """
    summary = predictions.summary()
    hardest = np.argsort(-predictions.document_bits_per_byte, kind="stable")
    parts = [
        table(summary.items()),
        "<h2>Learning curve</h2>",
        learning_curves(history),
        "<h2>Loss by position in the context</h2>",
        image(_by_position(predictions.by_place), "Bits per token by position in the context"),
        "<h2>Worst mistakes</h2>",
        f"<p>The documents with the highest loss, of {len(hardest)}:</p>",
        _documents(hardest[:15], predictions, dataset),
        "<h2>Generated text</h2>",
        "<p>The end of a text from the test split, and in bold what the model generates.</p>",
        *_samples(model, dataset),
    ]
    write_page(path, title, about, parts)
    return summary


def _by_position(nats_T: Array) -> Figure:
    """Where the curve still falls at its right end, a longer context would help."""
    figure = Figure(figsize=(3.8, 2.8), layout="constrained")
    axes = figure.subplots()
    width = max(1, len(nats_T) // 64)  # places that are averaged
    bits = nats_T[: len(nats_T) // width * width].reshape(-1, width).mean(axis=1) / math.log(2)
    axes.plot(width * np.arange(len(bits)) + (1 + width) / 2, bits, linewidth=1.2)
    axes.set(xlabel="tokens of context", ylabel="bits per token", xscale="log", ylim=(0, None))
    axes.grid(alpha=0.3)
    return figure


def _documents(rows: Array, predictions: Predictions, dataset: Dataset) -> str:
    bits = predictions.document_bits_per_byte[rows]
    names = (dataset.documents.names[int(row)] for row in predictions.rows[rows])
    lines = zip(names, bits, predictions.bytes[rows], strict=True)
    return table(
        ((name, f"{loss:.3f}", f"{size:,.0f}") for name, loss, size in lines),
        ("document", "bits per byte", "bytes"),
    )


def _samples(model: nn.Module, dataset: Dataset) -> Iterator[str]:
    """Windows of the split, drawn by the seed, and how the network goes on from each."""
    seed = derive_seed(dataset.seed, "samples")
    random = np.random.Generator(np.random.Philox(seed))
    rows = np.sort(random.choice(len(dataset), min(SAMPLES, len(dataset)), replace=False))
    prompts = dataset.prepare(np.ascontiguousarray(dataset.inputs[rows]))
    for row, prompt, written in zip(
        rows, prompts, write_on(model, prompts, LENGTH, seed=seed), strict=True
    ):
        before, after = (escape(_text(tokens)) for tokens in (prompt[-LENGTH:], written))
        yield f"<p>{escape(dataset.ids[int(row)])}</p><pre>{before}<b>{after}</b></pre>"


def _text(tokens: Array) -> str:
    """For people: what a page can't show, such as half a character, is marked."""
    text = TOKENIZER.decode(tokens).decode(errors="replace")
    shown = (each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)
    return "".join(shown)
