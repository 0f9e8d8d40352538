"""A review for a terminal, in the style of ruff's full output."""

from __future__ import annotations

import textwrap

from rich.text import Text

from ..errors import printable
from .findings import Finding, Rule
from .report import (
    MAX_PLACES,
    Report,
    answered,
    by_rule,
    change,
    frame,
    one_line,
    severity,
    title,
    where,
)

COLOURS = {"error": "bold red", "warning": "bold yellow"}
DIFF_COLOURS = {"-": "red", "+": "green"}


def render(report: Report, width: int) -> Text:
    """The whole review.

    Args:
        report: what is shown.
        width: of a line; code isn't wrapped.
    """
    text = Text()
    _add(text, f"{report.name}: {report.read}", width)
    explained: set[Rule] = set()
    for finding in report.findings:
        text.append("\n")
        _add_finding(text, report, finding, width, is_new=finding.rule not in explained)
        explained.add(finding.rule)
    _add_list(text, "Notes", _notes(report), width)
    questions = [
        f"{number}. {one.item}: {answered(one)}" for number, one in enumerate(report.answers, 1)
    ]
    _add_list(text, "Checklist", questions, width)
    _add_list(text, "Not looked at", report.gaps, width)
    _add_list(text, "Also", report.remarks, width)
    text.append("\n")
    _add(text, report.summary, width)
    return text


def _notes(report: Report) -> list[str]:
    lines: list[str] = []
    for is_exploring in (False, True):
        notes = [one for one in report.notes if one.is_note == is_exploring]
        for rule, places in by_rule(notes).items():
            more = f" and {len(places) - 1} more" if len(places) > 1 else ""
            why = "in a notebook or example" if is_exploring else f"from {title(rule.stage)} on"
            lines.append(f"{rule.id} {rule.title}: {where(places[0])}{more} ({why})")
    return lines


def _add_finding(text: Text, report: Report, finding: Finding, width: int, is_new: bool) -> None:
    rule = finding.rule
    level = severity(finding, report.stage)
    text.append(f"{rule.id} {level}", COLOURS.get(level, "bold"))
    _add(text, f": {finding.message} [{title(rule.category)}]", width)
    first, *others = finding.places
    text.append(f"  --> {where(first)}:{first.column}\n", "cyan")
    for line in frame(first, report.sources):
        text.append(f"  {printable(line)}\n")
    if others:
        more = f" and {len(others) - MAX_PLACES} more" if len(others) > MAX_PLACES else ""
        _add(text, f"  also: {', '.join(map(where, others[:MAX_PLACES]))}{more}", width)
    _add(text, f"  evidence: {finding.evidence}", width)
    if not is_new:
        text.append("  why and how to fix: as above\n")
        return
    _add(text, f"  why: {rule.why} ({rule.source})", width)
    _add(text, f"  fix: {rule.fix}", width)
    for line in change(rule):
        text.append(f"    {line}".rstrip() + "\n", DIFF_COLOURS.get(line[:1], ""))
    _add(text, f"  verify: {rule.verify}", width)


def _add_list(text: Text, heading: str, lines: list[str], width: int) -> None:
    if lines:
        text.append(f"\n{heading}\n", "bold")
        for line in lines:
            _add(text, f"  {line}", width)


def _add(text: Text, line: str, width: int) -> None:
    """Add a line of prose, wrapped."""
    line = one_line(line)
    indent = len(line) - len(line.lstrip())
    text.append(
        textwrap.fill(
            line.lstrip(),
            width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        + "\n"
    )
