"""A review as Markdown, for a pull request or an issue."""

from __future__ import annotations

import re

from ..errors import printable
from .findings import Finding, title
from .report import EXAMPLE, Report, change, explanation, frame, severity


def render(report: Report) -> str:
    """The whole review."""
    lines = [f"# Review of {escape(report.name)}", "", escape(report.summary), ""]
    lines += [f"{escape(report.read)}.", ""]
    for finding in report.findings:
        lines += _finding(report, finding)
    for heading, items in report.lists.items():
        lines += [f"## {heading}", "", *(f"- {escape(item)}" for item in items), ""]
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Text that is only text, in one line."""
    text = printable(text).replace("\n", " ")
    return re.sub(r"([\\`*{}\[\]<>#|~&]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def fenced(lines: list[str], language: str = "") -> str:
    """A block of code, whatever is in it."""
    code = "\n".join(lines).rstrip()
    longest = max(map(len, re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def _finding(report: Report, finding: Finding) -> list[str]:
    rule = finding.rule
    places = ", ".join(escape(str(place)) for place in finding.places)
    lines = [f"## {rule.id} {escape(finding.message)}", ""]
    lines += [f"{severity(finding, report.stage)}, {title(rule.category)}: {places}"]
    if code := frame(finding.places[0], report.sources):
        lines += ["", fenced([printable(line) for line in code])]
    lines += ["", f"- Evidence: {escape(finding.evidence)}"]
    if report.is_first_of_rule(finding):
        lines += [f"- {name.capitalize()}: {text}" for name, text in explanation(rule).items()]
        if rule.good:
            lines += ["", f"{EXAMPLE.capitalize()}:", "", fenced(change(rule), "diff")]
    return [*lines, ""]
