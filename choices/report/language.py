# The template's: updates improve this file and keep your edits.
"""A run's result as one self-contained page: numbers, curves, the hardest texts, samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from ..data.dataset import Dataset
from ..data.loader import derive_seed
from ..data.source import TOKENIZER
from ..page import image, table, write_page
from ..protocols import Array, History
from .calibration import draw_reliability
from .curves import curves_section
from .evaluate import Predictions, write_on
from .origin import origin
from .slices import facts_of, slices

SAMPLES = 4
LENGTH = 200  # tokens of a sample


def write_report(
    path: Path,
    *,
    title: str,
    about: str,
    history: History,
    found: Predictions,
    model: nn.Module,
    training: Dataset,
    dataset: Dataset,
    provenance: Mapping[str, Any] | None = None,
    slice_by: Sequence[str] = (),
) -> dict[str, str]:
    """Write the page.

    Args:
        path: of the HTML file.
        title: the run's name.
        about: a line on the checkpoint and the split.
        history: the lines of `metrics.jsonl`.
        found: the predictions for the dataset.
        model: that made them.
        training: the text that it learnt from.
        dataset: the text that the predictions are about.
        provenance: what run.json says.
        slice_by: the facts by which the split is parted; by default all of them.

    Returns:
        What there is to say first.
    """
    hardest = np.argsort(-found.nats / np.maximum(found.bytes, 1), kind="stable")
    facts = facts_of(dataset, slice_by).items()
    looked = slices(found.scores(), {name: fact.at(found.documents) for name, fact in facts})
    said = {**found.summary(), "worse than the rest": looked.told()}
    parts = [
        table(said.items()),
        curves_section(history),
        "<h2>What the context is worth</h2>",
        image(_by_place(found.by_place), "Bits a token over the place in the context"),
        "<h2>Whether it is as sure as it may be</h2>",
        "<p>On the line, the likeliest token follows as often as it says. Below it, it is too sure "
        "of itself.</p>",
        image(
            draw_reliability(found.calibration(), "how sure it is", "how often it is right"),
            "How often the likeliest token follows, over how sure it is",
        ),
        *looked.section(),
        f"<h2>The hardest documents, of {len(hardest)}</h2>",
        _documents(hardest[:15], found, dataset),
        "<h2>The easiest</h2>",
        _documents(hardest[: -min(6, len(hardest) + 1) : -1], found, dataset),
        "<h2>How it goes on</h2>",
        "<p>The end of a text that it was not trained on, and in bold what it makes of it.</p>",
        *_samples(model, dataset),
    ]
    if provenance is not None:
        parts.append(origin(provenance))
    write_page(path, title, about, parts)
    return said


def _by_place(nats_T: Array) -> Figure:
    """Where the curve still falls at its right end, a longer context would help."""
    figure = Figure(figsize=(3.8, 2.8), layout="constrained")
    axes = figure.subplots()
    width = max(1, len(nats_T) // 64)  # places that are averaged
    bits = nats_T[: len(nats_T) // width * width].reshape(-1, width).mean(axis=1) / math.log(2)
    axes.plot(width * np.arange(len(bits)) + (1 + width) / 2, bits, linewidth=1.2)
    axes.set(xlabel="tokens that are seen", ylabel="bits a token", xscale="log", ylim=(0, None))
    axes.grid(alpha=0.3)
    return figure


def _documents(rows: Array, found: Predictions, dataset: Dataset) -> str:
    bits = found.nats[rows] / np.maximum(found.bytes[rows], 1) / math.log(2)
    names = (dataset.documents.names[int(row)] for row in found.documents[rows])
    lines = zip(names, bits, found.bytes[rows], strict=True)
    return table(
        ((name, f"{each:.3f}", f"{size:,.0f}") for name, each, size in lines),
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
