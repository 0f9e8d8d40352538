"""Self-contained HTML reports: one file, without network access."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable, Sequence
from html import escape as escape_html
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import printable
from ..runs.run import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 120
MAX_CHARACTERS = 1000  # of a text that the page shows
MIN_PIXELS_PER_INCH = 65  # text of 10 points is then 9 pixels high

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def escape(text: str) -> str:
    """Text that is only text: no tags, nothing that turns its direction, not endless."""
    if len(text) > MAX_CHARACTERS:
        text = f"{text[: MAX_CHARACTERS - 1]}…"
    return escape_html(printable(text))


def table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """A table of texts; the first column has the names of the rows. A wide table scrolls."""
    names = "".join(f"<th>{escape(text)}</th>" for text in header)
    lines = [f"<thead><tr>{names}</tr></thead>"] if header else []
    for name, *cells in rows:
        rest = "".join(f"<td>{escape(text)}</td>" for text in cells)
        lines.append(f"<tr><th>{escape(name)}</th>{rest}</tr>")
    return f"<div class='scroll'><table>{''.join(lines)}</table></div>"


def image(figure: Figure, alternative: str) -> str:
    """A figure as an inline image, with alternative text.

    Use several figures of about 4 inches instead of panels: on a phone they are stacked. A figure
    shrinks with the page until its text would be too small; then it scrolls.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class's name may have letters that the font lacks
        figure.savefig(buffer, format="png", dpi=2 * PIXELS_PER_INCH)  # sharp on a dense display
    data = base64.b64encode(buffer.getvalue()).decode()
    width = figure.get_figwidth()
    smallest = f"min-width: {width * MIN_PIXELS_PER_INCH:.0f}px"
    attributes = f"width='{width * PIXELS_PER_INCH:.0f}' style='{smallest}'"
    source = f"src='data:image/png;base64,{data}'"
    return f"<div class='scroll'><img alt='{escape(alternative)}' {attributes} {source}></div>"


def plot(title: str, height: float = 3.0) -> tuple[Figure, Axes]:
    """An empty figure of half the page's width; the title may have any characters."""
    from matplotlib.figure import Figure

    from ..runs.plot import drawable

    figure = Figure(figsize=(3.8, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(drawable(title), fontsize=10, parse_math=False)
    axes.grid(alpha=0.3)
    return figure, axes


def gallery(parts: Iterable[str]) -> str:
    """Images side by side, as many as fit."""
    return f"<div class='gallery'>{''.join(parts)}</div>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def section(heading: str, *parts: str) -> str:
    """Parts below a heading."""
    return f"<h2>{escape(heading)}</h2>{''.join(parts)}"


def bullets(lines: Iterable[str]) -> str:
    """A list of plain texts."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def code(text: str) -> str:
    """Lines of code; long ones scroll."""
    return f"<pre>{escape(text)}</pre>"


def link(address: str) -> str:
    """A paragraph with an address of ours."""
    return f"<p><a href='{escape(address)}'>{escape(address)}</a></p>"


def render_page(title: str, summary: str, parts: Iterable[str]) -> str:
    """A whole page.

    Args:
        title: heading.
        summary: a line below it.
        parts: HTML, from top to bottom.
    """
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><p class='summary'>{escape(summary)}</p>{''.join(parts)}"
        "</body></html>\n"
    )


def write_page(path: Path, title: str, summary: str, parts: Iterable[str]) -> None:
    """Write a report completely or not at all; see `render_page`."""
    write_file(path, render_page(title, summary, parts).encode())
