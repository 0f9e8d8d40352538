"""Writes docs/review/README.md, the list of the rules: `python tests/review_pages.py`."""

from __future__ import annotations

from rendering import ROOT

from ml_architect.review.findings import title
from ml_architect.review.rules import RULES

FILE = ROOT / "docs/review/README.md"
PAGES = "../../src/ml_architect/review/pages"


def contents() -> str:
    """All rules, what to fix first at the top."""
    lines = ["# What `ml-architect review` looks for", ""]
    lines += [
        "Written by `make golden` from the pages of the rules, which are a part of the package: "
    ]
    lines[-1] += "`ml-architect review --explain ML101` prints one."
    lines += ["", "| id | what | category | counts from |", "|---|---|---|---|"]
    for rule in sorted(
        RULES.values(), key=lambda rule: (rule.category, rule.lines_to_fix, rule.id)
    ):
        off = "" if rule.is_default else f", off: `--select {rule.id}`"
        cells = (f"[{rule.id}]({PAGES}/{rule.id}.md)", rule.title, title(rule.category))
        lines.append(f"| {' | '.join(cells)} | {title(rule.stage)}{off} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(contents(), encoding="utf-8")
