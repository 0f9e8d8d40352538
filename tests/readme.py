"""Writes the README's table of choices from the catalogue: `python tests/readme.py`."""

from __future__ import annotations

from typing import Any

from rendering import ROOT, extension

BEGIN, END = "<!-- choices: written by `make golden` -->\n", "<!-- end of choices -->"


def table(catalogue: Any) -> str:
    """Every question with its options, and what each buys and costs."""
    lines = ["| question | option | buys | costs |", "|---|---|---|---|"]
    for question in catalogue.questions:
        for option in question.options:
            name = f"`{question.name}`" if option is question.options[0] else ""
            mark = " (default)" if option.value == question.default else ""
            lines.append(f"| {name} | `{option.value}`{mark} | {option.buys} | {option.costs} |")
    return "\n".join(lines) + "\n"


def with_table(text: str) -> str:
    """The README's text with the current table."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"README.md has no {BEGIN.strip()} … {END}"
    return before + BEGIN + table(extension("catalogue").CATALOGUE) + END + after


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
