"""Writes docs/review, a page for each rule: `python tests/review_pages.py`."""

from __future__ import annotations

from rendering import ROOT

from ml_architect.review.findings import Rule
from ml_architect.review.report import title
from ml_architect.review.rules import all_rules

FOLDER = ROOT / "docs/review"


def pages() -> dict[str, str]:
    """The text of every page by its name."""
    rules = all_rules()
    return {f"{rule.id}.md": page(rule) for rule in rules} | {"README.md": contents(rules)}


def contents(rules: list[Rule]) -> str:
    """All rules, what to mend first at the top."""
    lines = ["# What `ml-architect review` looks for", ""]
    lines += ["Written by `make golden` from the rules in `src/ml_architect/review`.", ""]
    lines += ["| id | what | category | counts from |", "|---|---|---|---|"]
    for rule in sorted(rules, key=lambda rule: (rule.category, rule.lines_to_fix, rule.id)):
        off = "" if rule.is_default else f", off: `--select {rule.id}`"
        cells = (f"[{rule.id}]({rule.id}.md)", rule.title, title(rule.category))
        lines.append(f"| {' | '.join(cells)} | {title(rule.stage)}{off} |")
    return "\n".join(lines) + "\n"


def page(rule: Rule) -> str:
    """Everything that there is to say about a rule."""
    off = "" if rule.is_default else f" It is off by default; `--select {rule.id}` turns it on."
    run = "" if rule.bad else " Only `--run` finds it."
    counts = f"Counts from the stage {title(rule.stage)} on.{off}{run}"
    lines = [
        f"# {rule.id} {rule.title}",
        "",
        f"Category: {title(rule.category)}. {counts}",
        "",
        f"{rule.why} ([source]({rule.source}))",
        "",
        f"**Fix.** {rule.fix}",
        "",
        f"**Verify.** {rule.verify}",
    ]
    for heading, code in (("Found", rule.bad), ("Not found", rule.good)):
        if code:
            lines += ["", f"## {heading}", "", "```python", code.rstrip(), "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("ML*.md"):
        old.unlink()
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
