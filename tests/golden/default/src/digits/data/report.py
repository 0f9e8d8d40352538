# The template's: updates improve this file and keep your edits.
"""What a look at every record brought to light, as a page with pictures of the distributions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..page import image, several, table, write_page
from ..protocols import SPLITS, Split
from .distributions import Distributions
from .validation import Findings, Problem

LISTED = 1000  # of a kind: a page with a million lines opens nowhere
PANELS = 24
BARS = 10


def write_report(path: Path, findings: Findings, classes: tuple[str, ...]) -> None:
    """Write the page."""
    sizes = findings.sizes
    if findings.problems:
        about = f"{sizes.total()} records, {len(findings.problems)} problems."
    else:
        about = f"{sizes.total()} records, all of which fit the schema."
    parts = [
        "<h2>Splits</h2>",
        table(
            ((split, str(sizes[split]), f"{sizes[split] / sizes.total():.1%}") for split in SPLITS)
            if sizes
            else (),
            header=("split", "records", "share"),
        ),
        "<h2>Problems</h2>",
        _listed(findings.problems) or "<p>None.</p>",
        "<h2>Worth a look</h2>",
        _listed(findings.remarks) or "<p>Nothing.</p>",
    ]
    if names := findings.distributions.names:
        shown = f", {PANELS} of {len(names)}" if len(names) > PANELS else ""
        parts.append(f"<h2>Distributions{shown}</h2>")
        parts.append(several(draw_distributions(findings.distributions)))
        missing = [
            (name, *(_share_missing(findings.distributions, name, split) for split in SPLITS))
            for name in names
            if any(findings.distributions.missing[name, split] for split in SPLITS)
        ]
        if missing:
            parts += ["<h2>Missing values</h2>", table(missing, header=("", *SPLITS))]
    if classes:
        parts.append("<h2>Classes</h2>")
        counts = (
            (name, *(str(findings.labels[split, label]) for split in SPLITS))
            for label, name in enumerate(classes)
        )
        parts.append(table(counts, header=("class", *SPLITS)))
    write_page(path, "The data", about, parts)


def _listed(problems: list[Problem]) -> str:
    """All of them, the worst first, with a heading that counts each kind."""
    parts: list[str] = []
    for kind, count in Counter(each.kind for each in problems).items():
        these = [each for each in problems if each.kind == kind]
        rest = f", the first {LISTED}" if count > LISTED else ""
        parts.append(f"<h3>{kind}: {count}{rest}</h3>")
        rows = ((each.record or "all", each.text, each.file) for each in these[:LISTED])
        parts.append(table(rows, header=("record", "what", "file")))
    return "".join(parts)


def _share_missing(distributions: Distributions, name: str, split: Split) -> str:
    missing, present = distributions.missing[name, split], distributions.seen[name, split]
    return f"{missing / max(1, missing + present):.1%}"


def draw_distributions(distributions: Distributions) -> Iterator[str]:
    """A picture of each fact, a colour for each split, shares rather than counts."""
    for name in distributions.names[:PANELS]:
        figure = Figure(figsize=(3.8, 2.9), layout="constrained")
        axes = figure.subplots()
        _draw(axes, distributions, name)
        axes.set_title(name, fontsize=10, parse_math=False)
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        yield image(figure, f"Distribution of {name} in each split")


def _draw(axes: Axes, distributions: Distributions, name: str) -> None:
    samples = {split: distributions.numbers(name, split) for split in SPLITS}
    numbers = {split: each for split, each in samples.items() if each is not None}
    if len(numbers) == len(SPLITS):
        everything = np.concatenate(list(numbers.values()))
        fewest = min(len(values) for values in numbers.values())
        bins = int(np.clip(np.sqrt(fewest), 5, 30))  # more would show chance and not shape
        edges = np.histogram_bin_edges(everything, bins=bins)
        for number, (split, values) in enumerate(numbers.items()):
            counts, _ = np.histogram(values, edges)
            axes.stairs(counts / max(1, len(values)), edges, color=f"C{number}", label=split)
        return
    by_split = {split: distributions.texts(name, split) for split in SPLITS}
    texts = [text for text, _ in sum(by_split.values(), Counter[str]()).most_common(BARS)]
    for number, (split, count) in enumerate(by_split.items()):
        shares = [count[text] / max(1, count.total()) for text in texts]
        places = np.arange(len(texts)) + 0.25 * (number - 1)
        axes.barh(places, shares, height=0.25, color=f"C{number}", label=split)
    short = [text if len(text) <= 16 else f"{text[:15]}…" for text in texts]
    axes.set_yticks(range(len(texts)), short, parse_math=False)
    axes.invert_yaxis()
