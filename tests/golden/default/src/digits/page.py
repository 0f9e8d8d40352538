# The template's: updates improve this file and keep your edits.
"""Pages for people: one self-contained HTML file each, which opens without a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1f2430; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #d8dce5; }
p.about { color: #5b6477; margin-top: 0.2rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: 0.25rem 1.2rem 0.25rem 0; text-align: left; border-bottom: 1px solid #eceff4;
         vertical-align: top; overflow-wrap: anywhere; }
thead th { overflow-wrap: normal; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f7f9; padding: 0.8rem; }
img { max-width: 100%; }
"""


def table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """A table of texts, whose first column names the rows."""
    names = "".join(f"<th>{escape(text)}</th>" for text in header)
    lines = [f"<thead><tr>{names}</tr></thead>"] if header else []
    for name, *cells in rows:
        rest = "".join(f"<td>{escape(text)}</td>" for text in cells)
        lines.append(f"<tr><th>{escape(name)}</th>{rest}</tr>")
    return f"<div class='wide'><table>{''.join(lines)}</table></div>"


def image(figure: Figure, alternative: str) -> str:
    """A figure, inside the page, and what it shows for those who can't see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"<img alt='{escape(alternative)}' src='data:image/png;base64,{data}'>"


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
