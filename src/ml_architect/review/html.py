"""A review as one HTML page, which needs no network."""

from __future__ import annotations

from ..reports.page import bullets, code, link, paragraph, render_page, section, table
from .findings import Finding, Rule
from .report import Report, answered, by_rule, change, frame, severity, title, where


def render(report: Report) -> str:
    """The whole page."""
    parts: list[str] = []
    explained: set[Rule] = set()
    for finding in report.findings:
        parts.append(_finding(report, finding, is_new=finding.rule not in explained))
        explained.add(finding.rule)
    if report.notes:
        rows = [
            (rule.id, rule.title, ", ".join(map(where, places)))
            for rule, places in by_rule(report.notes).items()
        ]
        parts.append(section("Notes", table(rows, ("id", "what", "where"))))
    answers = [(one.item, answered(one), one.searched) for one in report.answers]
    parts.append(section("Checklist", table(answers, ("", "answer", "searched"))))
    for heading, lines in {"Not looked at": report.gaps, "Also": report.remarks}.items():
        if lines:
            parts.append(section(heading, bullets(lines)))
    parts.insert(0, paragraph(f"{report.read}."))
    return render_page(f"Review of {report.name}", report.summary, parts)


def _finding(report: Report, finding: Finding, is_new: bool) -> str:
    rule = finding.rule
    places = ", ".join(map(where, finding.places))
    level = severity(finding, report.stage)
    parts = [paragraph(f"{level}, {title(rule.category)}: {places}")]
    if lines := frame(finding.places[0], report.sources):
        parts.append(code("\n".join(lines)))
    parts.append(paragraph(f"Evidence: {finding.evidence}"))
    if is_new:
        parts += [paragraph(f"Why: {rule.why}"), link(rule.source), paragraph(f"Fix: {rule.fix}")]
        if rule.good:
            parts.append(code("\n".join(change(rule))))
        parts.append(paragraph(f"Verify: {rule.verify}"))
    return section(f"{rule.id} {finding.message}", *parts)
