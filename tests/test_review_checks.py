"""The checks of `ml-architect review`: cases, near misses, and the examples of every rule."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from ml_architect.review.checks import CHECKS, find
from ml_architect.review.findings import Finding, Rule
from ml_architect.review.project import read_project
from ml_architect.review.rules import RULES

CASES = Path(__file__).parent / "review"
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
    rule = RULES[path.split("/")[0]]
    findings = review(tmp_path, (CASES / path).read_text(encoding="utf-8"), rule)
    assert findings
    assert all(each.message and each.evidence and each.places for each in findings)
    assert all(each.message.count("(key 'optimizer')") <= 1 for each in findings)


@pytest.mark.parametrize("path", files("near"))
def test_a_near_miss_is_not_found(path: str, tmp_path: Path) -> None:
    rule = RULES[path.split("/")[0]]
    findings = review(tmp_path, (CASES / path).read_text(encoding="utf-8"), rule)
    assert [each.message for each in findings] == []


def test_every_check_has_three_cases_and_three_near_misses() -> None:
    for kind in ("case", "near"):
        counts = Counter(path.split("/")[0] for path in files(kind))
        assert all(counts[name] >= 3 for name in CHECKS)


@pytest.mark.parametrize("id", CHECKS)
def test_a_rules_bad_example_is_found_and_its_good_one_is_not(
    id: str,  # noqa: A002
    tmp_path: Path,
) -> None:
    for name, text in (("bad", RULES[id].bad), ("good", RULES[id].good)):
        folder = tmp_path / name
        folder.mkdir()
        assert bool(review(folder, text, RULES[id])) == (name == "bad")


def test_every_rule_has_one_way_to_be_found_and_those_judged_precise_are_on() -> None:
    for rule in RULES.values():
        ways = [rule.id in CHECKS, bool(rule.ruff), rule.id.startswith(("ML4", "ML5"))]
        assert ways.count(True) == 1, rule.id
        assert rule.source.startswith("https://")
        is_examined = rule.id in CHECKS or bool(rule.ruff)
        assert rule.is_default == (rule.id in JUDGED or not is_examined)


def test_only_programs_that_train_with_the_sampler_have_to_call_set_epoch(tmp_path: Path) -> None:
    data = """
from torch.utils.data.distributed import DistributedSampler

def load():
    return DistributedSampler([1])
"""
    train = """
from data import load, optimizer

sampler = load()
for epoch in range(100):
    sampler.set_epoch(epoch)
    for batch in sampler:
        batch.mean().backward()
        optimizer.step()
"""
    (tmp_path / "data.py").write_text(data, encoding="utf-8")
    (tmp_path / "detect.py").write_text("import data\n\nprint(data)\n", encoding="utf-8")
    timing = "import data\n\nfor batch in data.rows:\n    batch.backward()\n    batch.step()\n"
    (tmp_path / "timing.py").write_text(timing, encoding="utf-8")
    for text, number in ((train, 0), (train.replace("    sampler.set_epoch(epoch)\n", ""), 1)):
        (tmp_path / "train.py").write_text(text, encoding="utf-8")
        assert len(find(read_project(tmp_path), [RULES["ML113"]])) == number
