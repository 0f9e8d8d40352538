"""A review's result, in the order in which it is shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import printable
from .checklist import Answer
from .findings import Category, Finding, Place, Rule, Stage, count, listed, title
from .rules import more
from .sources import Sources

CONTEXT = 2  # lines of code before and after a place
MAX_WIDTH = 160  # of a line of code
MAX_PLACES = 8  # named for one finding
EXAMPLE = "example (not code of this project)"


@dataclass(frozen=True)
class Report:
    """Everything that is shown, whatever the format."""

    name: str
    """Of the project's folder."""
    stage: Stage
    stage_origin: str
    findings: list[Finding]
    """Faults at this stage, what to fix first at the top."""
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
        parts = [count(len(self.findings) + self.left_out, "finding")]
        if self.left_out:
            parts.append(f"the first {len(self.findings)} shown")
        elif counts:
            parts[0] += f" ({', '.join(counts)})"
        exploring = sum(one.is_note for one in self.notes)
        for number, why in (
            (len(self.notes) - exploring, "for later stages"),
            (exploring, "in notebooks and examples, where only wrong results count"),
        ):
            if number:
                parts.append(f"{count(number, 'note')} {why}")
        if self.hidden:
            parts.append(f"{self.hidden} hidden at this stage; --stage prototype shows them")
        return f"{'; '.join(parts)}. Stage: {title(self.stage)} ({self.stage_origin})."

    @property
    def lists(self) -> dict[str, list[str]]:
        """What follows the findings, by heading."""
        lists = {
            "Notes": note_lines(self.notes),
            "Checklist": [f"{one.item}: {answered(one)}" for one in self.answers],
            "Not looked at": self.gaps,
            "Also": self.remarks,
        }
        return {heading: lines for heading, lines in lists.items() if lines}

    def is_first_of_rule(self, finding: Finding) -> bool:
        """Whether no finding before it has explained its rule."""
        return finding is next(one for one in self.findings if one.rule is finding.rule)


def note_lines(notes: Iterable[Finding]) -> list[str]:
    """A line for each rule, with its first place."""
    places: dict[tuple[bool, Rule], list[Place]] = {}
    for note in sorted(notes, key=lambda note: note.is_note):
        places.setdefault((note.is_note, note.rule), []).extend(note.places)
    lines: list[str] = []
    for (is_exploring, rule), found in places.items():
        why = "in a notebook or example" if is_exploring else f"from {title(rule.stage)} on"
        lines.append(f"{rule.id} {rule.title}: {listed(found, 1)} ({why})")
    return lines


def severity(finding: Finding, stage: Stage) -> str:
    """`error` if results or work are at risk, else `warning`; `note` if it doesn't count."""
    rule = finding.rule
    if finding.is_note or rule.stage > stage:
        return "note"
    return "error" if rule.category <= Category.LOST_WORK else "warning"


def order(findings: Iterable[Finding]) -> list[Finding]:
    """The most costly fault first; within a category, the cheapest to fix."""
    return sorted(
        findings,
        key=lambda one: (one.rule.category, one.rule.lines_to_fix, one.rule.id, one.places),
    )


def answered(answer: Answer) -> str:
    """What the review can say to a question of the checklist."""
    if not answer.findings:
        kind = "open question" if answer.kind == "question" else answer.kind
        return f"{kind}: {answer.text}"
    places = [f"{one.rule.id} at {one.places[0]}" for one in answer.findings]
    return f"{answer.kind}: {listed(places, MAX_PLACES)}; {answer.text}"


def explanation(rule: Rule) -> dict[str, str]:
    """What every finding of a rule has in common, by heading."""
    return {
        "why": f"{rule.why} ({rule.source})",
        "fix": rule.fix,
        "verify": rule.verify,
        "more": more(rule),
    }


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
    lines, at = sources.lines(place), place.cell_line or place.line
    if not 0 < at <= len(lines) or not any(lines):
        return []
    first, last = max(1, at - CONTEXT), min(len(lines), at + CONTEXT)
    width = len(str(last))
    shown = [f"{'':{width}} |"]
    for number in range(first, last + 1):
        code = lines[number - 1].rstrip().replace("\t", " ")[:MAX_WIDTH]
        shown.append(f"{number:{width}} | {code}".rstrip())
        if number == at:
            indent = len(code) - len(code.lstrip())
            start = min(max(place.column - 1, indent), len(code))
            # Only the beginning is known, so the rest of the line's code is marked.
            marks = "^" * max(1, len(code.partition("  #")[0].rstrip()) - start)
            shown.append(f"{'':{width}} | {' ' * start}{marks}")
    return shown
