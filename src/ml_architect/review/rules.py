"""Every rule of a review."""

from __future__ import annotations

from . import checks, dynamic_rules, ignores, ruff_rules
from .findings import Rule


def all_rules() -> list[Rule]:
    """By id."""
    groups = (checks.RULES, ruff_rules.RULES.values(), ignores.RULES, dynamic_rules.RULES)
    return sorted((rule for group in groups for rule in group), key=lambda rule: rule.id)
