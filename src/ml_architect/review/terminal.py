"""A review for a terminal, in the style of ruff's full output."""

from __future__ import annotations

import textwrap

from rich.text import Text

from ..errors import printable
from .findings import Finding, listed, title
from .report import EXAMPLE, MAX_PLACES, Report, change, explanation, frame, one_line, severity

COLOURS = {"error": "bold red", "warning": "bold yellow", "-": "red", "+": "green"}


def render(report: Report, width: int) -> Text:
    """The whole review.

    Args:
        report: what is shown.
        width: of a line; code isn't wrapped.
    """
    text = Text()
    _add(text, f"{report.name}: {report.read}", width)
    for finding in report.findings:
        text.append("\n")
        _add_finding(text, report, finding, width)
    for heading, lines in report.lists.items():
        text.append(f"\n{heading}\n", "bold")
        for line in lines:
            _add(text, f"  {line}", width)
    text.append("\n")
    _add(text, report.summary, width)
    return text


def _add_finding(text: Text, report: Report, finding: Finding, width: int) -> None:
    rule, (first, *others) = finding.rule, finding.places
    level = severity(finding, report.stage)
    text.append(f"{rule.id} {level}", COLOURS.get(level, "bold"))
    _add(text, f": {finding.message} [{title(rule.category)}]", width)
    column = "" if first.cell else f":{first.column}"
    text.append(f"  --> {one_line(str(first))}{column}\n", "cyan")
    for line in frame(first, report.sources):
        text.append(f"  {printable(line)}\n")
    if others:
        _add(text, f"  also: {listed(others, MAX_PLACES)}", width)
    _add(text, f"  evidence: {finding.evidence}", width)
    if not report.is_first_of_rule(finding):
        text.append("  why and how to fix: as above\n")
        return
    for heading, line in explanation(rule).items():
        _add(text, f"  {heading}: {line}", width)
        if heading == "fix" and rule.good:
            text.append(f"  {EXAMPLE}:\n")
            for code in change(rule):
                text.append(f"    {code}".rstrip() + "\n", COLOURS.get(code[:1], ""))


def _add(text: Text, line: str, width: int) -> None:
    """Add a line of prose, wrapped."""
    line = one_line(line)
    indent = len(line) - len(line.lstrip())
    wrapped = textwrap.fill(
        line.lstrip(),
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
    text.append(f"{wrapped}\n")
