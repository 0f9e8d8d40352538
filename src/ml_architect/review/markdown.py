"""A review as Markdown, for a pull request or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import printable
from .findings import Finding, Rule
from .report import Report, answered, by_rule, change, frame, severity, title, where


def render(report: Report) -> str:
    """The whole review."""
    lines = [f"# Review of {escape(report.name)}", "", escape(report.summary), ""]
    lines += [f"{escape(report.read)}.", ""]
    explained: set[Rule] = set()
    for finding in report.findings:
        lines += _finding(report, finding, is_new=finding.rule not in explained)
        explained.add(finding.rule)
    notes = [
        f"{rule.id} {rule.title}: {', '.join(escape(where(place)) for place in places)}"
        for rule, places in by_rule(report.notes).items()
    ]
    lines += _list("Notes", notes)
    answers = [f"{one.item}: {escape(answered(one))}" for one in report.answers]
    lines += _list("Checklist", answers, mark="1.")
    lines += _list("Not looked at", map(escape, report.gaps))
    lines += _list("Also", map(escape, report.remarks))
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Text that is only text, in one line."""
    text = printable(text).replace("\n", " ")
    return re.sub(r"([\\`*{}\[\]<>#|~&]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def fenced(code: str, language: str = "") -> str:
    """A block of code, whatever is in it."""
    longest = max(map(len, re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"


def _finding(report: Report, finding: Finding, is_new: bool) -> list[str]:
    rule = finding.rule
    level = severity(finding, report.stage)
    lines = [f"## {rule.id} {escape(finding.message)}", "", f"{level}, {title(rule.category)}: "]
    lines[-1] += ", ".join(escape(where(place)) for place in finding.places)
    if code := frame(finding.places[0], report.sources):
        lines += ["", fenced(printable("\n".join(code)))]
    lines += ["", f"- Evidence: {escape(finding.evidence)}"]
    if is_new:
        lines += [f"- Why: {rule.why} <{rule.source}>", f"- Fix: {rule.fix}"]
        lines += [f"- Verify: {rule.verify}"]
        if rule.good:
            lines += ["", fenced("\n".join(change(rule)), "diff")]
    return [*lines, ""]


def _list(heading: str, items: Iterable[str], mark: str = "-") -> list[str]:
    given = list(items)
    return [f"## {heading}", "", *(f"{mark} {item}" for item in given), ""] if given else []
