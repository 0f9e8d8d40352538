"""A review's result, in the order in which it is shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import printable
from .checklist import Answer
from .findings import Category, Finding, Place, Rule, Stage
from .sources import Sources

CONTEXT = 2  # lines of code before and after a place
MAX_WIDTH = 160  # of a line of code
MAX_PLACES = 8  # named for one finding


@dataclass(frozen=True)
class Report:
    """Everything that is shown, whatever the format."""

    name: str
    """Of the project's folder."""
    stage: Stage
    stage_origin: str
    findings: list[Finding]
    """Faults at this stage, what to mend first at the top."""
    notes: list[Finding]
    """Faults at a later stage, or in code that explores, which don't count."""
    hidden: int
    """Notes and findings that this stage doesn't show."""
    left_out: int
    """Findings that `--top` cuts off."""
    read: str
    """What was read, such as `12 files; trains in src/train.py`."""
    answers: list[Answer]
    gaps: list[str]
    """What was not looked at, one line each."""
    remarks: list[str]
    """Of the baseline and of `--run`, one line each."""
    sources: Sources

    @property
    def summary(self) -> str:
        """The findings, counted by category."""
        counts = [
            f"{number} {title(category)}"
            for category in Category
            if (number := sum(one.rule.category is category for one in self.findings))
        ]
        total = len(self.findings) + self.left_out
        parts = [f"{total} finding{'s' * (total != 1)}"]
        if counts:
            parts[0] += f" ({', '.join(counts)})" if not self.left_out else ""
        if self.left_out:
            parts.append(f"the first {len(self.findings)} shown")
        exploring = sum(one.is_note for one in self.notes)
        for number, why in (
            (len(self.notes) - exploring, "for later stages"),
            (exploring, "in notebooks and examples, where only wrong results count"),
        ):
            if number:
                parts.append(f"{number} note{'s' * (number != 1)} {why}")
        if self.hidden:
            parts.append(f"{self.hidden} hidden at this stage; --stage prototype shows them")
        return f"{'; '.join(parts)}. Stage: {title(self.stage)} ({self.stage_origin})."


def title(name: Category | Stage) -> str:
    """A category or stage in words."""
    return name.name.lower().replace("_", " ")


def severity(finding: Finding, stage: Stage) -> str:
    """`error` where results or work are at stake, else `warning`; `note` if it doesn't count."""
    rule = finding.rule
    if finding.is_note or rule.stage > stage:
        return "note"
    return "error" if rule.category <= Category.LOST_WORK else "warning"


def order(findings: Iterable[Finding]) -> list[Finding]:
    """The dearest fault first; within a category, the cheapest to mend."""
    return sorted(
        findings,
        key=lambda one: (one.rule.category, one.rule.lines_to_fix, one.rule.id, one.places),
    )


def answered(answer: Answer) -> str:
    """What the review can say to a question of the checklist."""
    if not answer.findings:
        kind = "open question" if answer.kind == "question" else answer.kind
        return f"{kind}: {answer.text}"
    places = [f"{one.rule.id} at {where(one.places[0])}" for one in answer.findings[:MAX_PLACES]]
    more = f" and {len(answer.findings) - MAX_PLACES} more"
    listed = ", ".join(places) + more * (len(answer.findings) > MAX_PLACES)
    return f"{answer.kind}: {listed}; {answer.text}"


def by_rule(findings: Iterable[Finding]) -> dict[Rule, list[Place]]:
    """The places of each rule, for a short list."""
    places: dict[Rule, list[Place]] = {}
    for finding in findings:
        places.setdefault(finding.rule, []).extend(finding.places)
    return places


def where(place: Place) -> str:
    """A place as terminals and editors link it."""
    return f"{one_line(place.path)}:{place.line}"


def one_line(text: str) -> str:
    """A text of the project's that stays in its line and controls nothing."""
    return printable(text).replace("\n", "\\n")


def change(rule: Rule) -> list[str]:
    """What makes the good example of the bad one, as a diff; the whole example is on its page."""
    bad, good = rule.bad.splitlines(), rule.good.splitlines()
    lines = difflib.unified_diff(bad, good, n=CONTEXT, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def frame(place: Place, sources: Sources) -> list[str]:
    """The code around a place, with line numbers; empty for a line that isn't there."""
    lines = sources.lines(place.path)
    if not 0 < place.line <= len(lines) or not any(lines):
        return []
    first, last = max(1, place.line - CONTEXT), min(len(lines), place.line + CONTEXT)
    width = len(str(last))
    shown = [f"{'':{width}} |"]
    for number in range(first, last + 1):
        code = lines[number - 1].rstrip().replace("\t", " ")[:MAX_WIDTH]
        shown.append(f"{number:{width}} | {code}".rstrip())
        if number == place.line:
            start = min(place.column - 1, len(code))
            # Only the beginning is known, so the rest of the line's code is marked.
            marks = "^" * max(1, len(code.partition("  #")[0].rstrip()) - start)
            shown.append(f"{'':{width}} | {' ' * start}{marks}")
    return shown
