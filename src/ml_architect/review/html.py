"""A review as one HTML page, which needs no network."""

from __future__ import annotations

from ..reports.page import bullets, code, link, paragraph, render_page, section
from .findings import Finding, title
from .report import EXAMPLE, Report, change, explanation, frame, one_line, severity
from .rules import more


def render(report: Report) -> str:
    """The whole page."""
    parts = [paragraph(f"{report.read}.")]
    parts += [_finding(report, finding) for finding in report.findings]
    parts += [section(heading, bullets(lines)) for heading, lines in report.lists.items()]
    return render_page(f"Review of {report.name}", report.summary, parts)


def _finding(report: Report, finding: Finding) -> str:
    rule = finding.rule
    places = ", ".join(one_line(str(place)) for place in finding.places)
    parts = [paragraph(f"{severity(finding, report.stage)}, {title(rule.category)}: {places}")]
    if lines := frame(finding.places[0], report.sources):
        parts.append(code("\n".join(lines)))
    parts.append(paragraph(f"Evidence: {finding.evidence}"))
    if report.is_first_of_rule(finding):
        texts = explanation(rule).items()
        parts += [paragraph(f"{heading.capitalize()}: {text}") for heading, text in texts]
        addresses = (rule.source, more(rule))
        parts += [link(one) for one in addresses if one.startswith("https://")]
        if rule.good:
            parts += [paragraph(f"{EXAMPLE.capitalize()}:"), code("\n".join(change(rule)))]
    return section(f"{rule.id} {finding.message}", *parts)
