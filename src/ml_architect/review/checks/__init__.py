"""The checks: what each looks for, and one function that runs them."""

from __future__ import annotations

from collections.abc import Iterable

from ..findings import Finding, Rule
from ..project import Project
from . import data, evaluation, import_work, loop, randomness, restoring, saving
from .check import Check

CHECKS: tuple[Check, ...] = tuple(
    sorted(
        (
            *data.CHECKS,
            *evaluation.CHECKS,
            *import_work.CHECKS,
            *loop.CHECKS,
            *randomness.CHECKS,
            *restoring.CHECKS,
            *saving.CHECKS,
        ),
        key=lambda check: check.rule.id,
    )
)
RULES: tuple[Rule, ...] = tuple(check.rule for check in CHECKS)


def find(project: Project, rules: Iterable[Rule]) -> list[Finding]:
    """Findings: the dearest first, within a category the cheapest to fix first."""
    wanted = {rule.id for rule in rules}
    found = [
        finding for check in CHECKS if check.rule.id in wanted for finding in check.run(project)
    ]
    return sorted(
        found,
        key=lambda each: (each.rule.category, each.rule.lines_to_fix, each.rule.id, each.places),
    )
