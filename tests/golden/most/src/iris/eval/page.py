# The template's: updates improve this file and keep your edits.
"""The parts of a report: one self-contained HTML file, which opens without a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from ..protocols import History

PIXELS = 120  # of the page, for an inch of a figure
LEAST_PIXELS = 65
COLORS = {"train": "C0", "validation": "C1"}

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1f2430; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h3 { font-size: 1rem; margin-top: 1.6rem; }
h1, h2, h3, p { overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #d8dce5; }
p.about { color: #5b6477; margin-top: 0.2rem; }
div.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: 0.25rem 1.2rem 0.25rem 0; text-align: left; border-bottom: 1px solid #eceff4;
         vertical-align: top; }
td:last-child:nth-child(2) { overflow-wrap: anywhere; min-width: 9rem; }
@media (max-width: 30rem) { td, th { padding-right: 0.7rem; } }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f7f9; padding: 0.8rem; }
img { max-width: 100%; height: auto; }
div.gallery div.wide { margin: 0; }
div.gallery { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; }
div.gallery > * { max-width: 100%; overflow-x: auto; }
figure { margin: 0; width: 10rem; font-size: 0.9rem; line-height: 1.3; overflow-wrap: anywhere; }
"""


def table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """A table of texts, whose first column names the rows; one that is too wide scrolls."""
    names = "".join(f"<th>{escape(text)}</th>" for text in header)
    lines = [f"<thead><tr>{names}</tr></thead>"] if header else []
    for name, *cells in rows:
        rest = "".join(f"<td>{escape(text)}</td>" for text in cells)
        lines.append(f"<tr><th>{escape(name)}</th>{rest}</tr>")
    return f"<div class='wide'><table>{''.join(lines)}</table></div>"


def image(figure: Figure, alternative: str) -> str:
    """A figure, embedded in the page, with a text alternative.

    Draw several of 3.8 inches rather than one with panels: on a phone they are stacked. It shrinks
    until text of 10 points is 9 pixels high, and from there on it scrolls.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=2 * PIXELS)  # sharp on a display of any kind
    data = base64.b64encode(buffer.getvalue()).decode()
    width = figure.get_figwidth()
    sizes = f"width='{width * PIXELS:.0f}' style='min-width: {width * LEAST_PIXELS:.0f}px'"
    source = f"src='data:image/png;base64,{data}'"
    return f"<div class='wide'><img alt='{escape(alternative)}' {sizes} {source}></div>"


def captioned(figure: Figure, caption: str) -> str:
    """A small figure, one of many, with a line below it."""
    return f"<figure>{image(figure, caption)}<figcaption>{escape(caption)}</figcaption></figure>"


def gallery(parts: Iterable[str]) -> str:
    """Images or figures, as many side by side as there is room for."""
    return f"<div class='gallery'>{''.join(parts)}</div>"


def learning_curves(history: History) -> str:
    """A plot of each metric of `metrics.jsonl`, training and validation in one."""
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for step, metrics in history:
        for name, value in metrics.items():
            split, _, metric = name.partition("/")
            curves.setdefault(metric, {}).setdefault(split, []).append((step, value))

    plots: list[str] = []
    for metric, splits in sorted(curves.items(), key=lambda curve: "validation" not in curve[1]):
        figure = Figure(figsize=(3.8, 2.6), layout="constrained")
        axes, title = figure.subplots(), metric.replace("_", " ")
        for split, points in sorted(splits.items()):
            steps, values = zip(*points, strict=True)
            color, marker = COLORS.get(split, "C2"), "." if len(points) == 1 else ""
            axes.plot(steps, values, color=color, marker=marker, label=split)
        if metric == "loss" and min(value for points in splits.values() for _, value in points) > 0:
            axes.set_yscale("log")
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        plots.append(image(figure, f"Learning curve: {title} over steps"))
    return gallery(plots)


def write_page(path: Path, title: str, about: str, parts: Iterable[str]) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the HTML file.
        title: its heading.
        about: a line below that.
        parts: HTML, from top to bottom.
    """
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><p class='about'>{escape(about)}</p>{''.join(parts)}"
        "</body></html>\n"
    )
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)
