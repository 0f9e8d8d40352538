"""The checks of `ml-architect review`: cases, near misses, and the examples of every rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ml_architect.review.checks import RULES, find
from ml_architect.review.findings import Finding, Rule
from ml_architect.review.project import read_project

CASES = Path(__file__).parent / "review"
BY_ID = {rule.id: rule for rule in RULES}
# Of the findings judged, at least 60 % were true and at most one in ten false; some have few.
JUDGED = {"ML101", "ML102", "ML112"}  # see docs/review/precision.md


def review(folder: Path, text: str, rule: Rule) -> list[Finding]:
    """Findings of one rule in a project of one file, and of one that imports it for ML115."""
    (folder / "program.py").write_text(text, encoding="utf-8")
    if match := re.match(r"# requirements: (.*)", text):
        (folder / "requirements.txt").write_text(match[1], encoding="utf-8")
    if rule.id == "ML115":
        (folder / "other.py").write_text("import program\n", encoding="utf-8")
    return find(read_project(folder), [rule])


def files(kind: str) -> list[str]:
    """Paths of the cases or near misses."""
    return sorted(path.relative_to(CASES).as_posix() for path in CASES.glob(f"*/{kind}_*.py"))


@pytest.mark.parametrize("path", files("case"))
def test_a_case_is_found(path: str, tmp_path: Path) -> None:
    rule = BY_ID[path.split("/")[0]]
    findings = review(tmp_path, (CASES / path).read_text(encoding="utf-8"), rule)
    assert findings
    assert all(each.message and each.evidence and each.places for each in findings)


@pytest.mark.parametrize("path", files("near"))
def test_a_near_miss_is_not_found(path: str, tmp_path: Path) -> None:
    rule = BY_ID[path.split("/")[0]]
    findings = review(tmp_path, (CASES / path).read_text(encoding="utf-8"), rule)
    assert [each.message for each in findings] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_has_three_cases_and_three_near_misses(rule: Rule) -> None:
    for kind in ("case", "near"):
        assert sum(path.startswith(f"{rule.id}/") for path in files(kind)) >= 3


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rules_bad_example_is_found_and_its_good_one_is_not(rule: Rule, tmp_path: Path) -> None:
    for name, text in (("bad", rule.bad), ("good", rule.good)):
        compile(text, name, "exec")
        folder = tmp_path / name
        folder.mkdir()
        assert bool(review(folder, text, rule)) == (name == "bad")


def test_rules_are_listed_in_order_and_say_everything() -> None:
    assert [rule.id for rule in RULES] == [f"ML{n}" for n in (*range(101, 116), *range(201, 207))]
    for rule in RULES:
        assert rule.is_default == (rule.id in JUDGED)
        assert rule.source.startswith("https://")
        assert all((rule.title, rule.why, rule.fix, rule.verify, rule.lines_to_fix))
