"""A review for other programs: JSON, and SARIF 2.1.0 for code scanning."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from ..generate.origin import PACKAGE
from .baseline import fingerprint
from .findings import Finding, Place, Rule, title
from .report import Report, answered, severity
from .rules import explain, more

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def as_json(report: Report) -> str:
    """A list of findings and notes; the rest of a report isn't one."""
    return _dump([_entry(report, finding) for finding in (*report.findings, *report.notes)])


def _entry(report: Report, finding: Finding) -> dict[str, Any]:
    rule, first = finding.rule, finding.places[0]
    return {
        "id": rule.id,
        "path": first.path,
        "line": first.line,
        "column": first.column,
        "severity": severity(finding, report.stage),
        "category": title(rule.category),
        "stage": title(rule.stage),
        "message": finding.message,
        "evidence": finding.evidence,
        "scope": finding.scope,
        "places": [_place(place) for place in finding.places],
        "why": rule.why,
        "source": rule.source,
        "fix": rule.fix,
        "example": rule.good,
        "verify": rule.verify,
        "more": more(rule),
        "fingerprint": fingerprint(finding, first, report.sources),
    }


def _place(place: Place) -> dict[str, Any]:
    known = asdict(place)
    return known if place.cell else {name: known[name] for name in ("path", "line", "column")}


def as_sarif(report: Report) -> str:
    """One run, with the checklist among its properties."""
    findings = [*report.findings, *report.notes]
    rules = list(dict.fromkeys(finding.rule for finding in findings))
    driver: dict[str, Any] = {"name": PACKAGE, "rules": [_rule(rule) for rule in rules]}
    with suppress(PackageNotFoundError):  # it may run from a folder
        driver["version"] = version(PACKAGE)
    notifications = [
        {"level": "warning", "message": {"text": text}} for text in (*report.gaps, *report.remarks)
    ]
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notifications}],
        "results": [_result(report, finding, rules.index(finding.rule)) for finding in findings],
        "properties": {
            "stage": title(report.stage),
            "checklist": [
                {"item": one.item, "answer": answered(one), "searched": one.searched}
                for one in report.answers
            ],
        },
    }
    return _dump({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {
            "text": f"{rule.fix} {rule.verify}",
            "markdown": explain(rule.id).split("---\n", 2)[2],
        },
        "helpUri": page if (page := more(rule)).startswith("https://") else rule.source,
        "properties": {"tags": [title(rule.category)]},
    }


def _result(report: Report, finding: Finding, index: int) -> dict[str, Any]:
    first, *others = finding.places
    location = _location(first)
    if finding.scope:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.scope}]
    if first.cell:  # whose line is that of the JSON file, as a location has to be
        location["message"] = {"text": str(first)}
    result: dict[str, Any] = {
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": severity(finding, report.stage),
        "message": {"text": f"{finding.message} ({finding.evidence})"},
        "locations": [location],
        "partialFingerprints": {"review/v1": fingerprint(finding, first, report.sources)},
    }
    if others:
        result["relatedLocations"] = [_location(place) for place in others]
    return result


def _location(place: Place) -> dict[str, Any]:
    # Relative to the project, since a code host knows no path of this machine.
    uri = quote(place.path.encode("utf-8", "surrogateescape"))
    region = {"startLine": place.line, "startColumn": place.column}
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}


def _dump(content: Any) -> str:
    return json.dumps(content, indent=2) + "\n"
