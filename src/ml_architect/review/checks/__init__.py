"""The checks: what each looks for, and one function that runs them."""

from __future__ import annotations

from collections.abc import Iterable

from ..findings import Finding, Rule
from ..project import Project
from . import data, evaluation, import_work, loop, randomness, restoring, saving

CHECKS = {
    **data.CHECKS,
    **evaluation.CHECKS,
    **import_work.CHECKS,
    **loop.CHECKS,
    **randomness.CHECKS,
    **restoring.CHECKS,
    **saving.CHECKS,
}
"""By the id of the rule."""


def find(project: Project, rules: Iterable[Rule]) -> list[Finding]:
    """Where a project breaks some rules."""
    return [found for rule in rules if rule.id in CHECKS for found in CHECKS[rule.id](project)]
