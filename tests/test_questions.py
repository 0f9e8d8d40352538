"""Copier ignores what it doesn't know in `copier.yml`: a misspelt key changes nothing, silently."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import yaml
from combinations import CHOICES
from copier import _template, _user_data  # private, but the only lists there are
from rendering import ROOT

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
QUESTIONS = {name: value for name, value in CONFIG.items() if not name.startswith("_")}

ORDER = [
    "project_name",
    "package_name",
    "description",
    "author_name",
    "author_email",
    "stage",
    "starter",
    "config",
    "tracker",
    "checkpoint",
    "checkpoint_writer",
    "python_version",
    "license",
    "started",
    "yours",
]


def known_settings() -> set[str]:
    """Every key that Copier looks up in a template's config."""
    lookups = r'(?:config_data|_raw_config)(?:\.get\(|\[)\s*"_?(\w+)"'
    return {f"_{name}" for name in re.findall(lookups, inspect.getsource(_template))}


def test_every_setting_is_one_that_copier_looks_up() -> None:
    known = known_settings()
    assert {"_subdirectory", "_exclude", "_envops", "_tasks"} <= known, "the source was misread"
    assert {name for name in CONFIG if name.startswith("_")} <= known


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_field_of_a_question_is_one_that_copier_knows(name: str) -> None:
    given_by_copier = {"var_name", "answers", "context", "jinja_env", "settings"}
    known = set(inspect.signature(_user_data.Question).parameters) - given_by_copier
    assert {"type", "help", "default"} <= set(QUESTIONS[name]) <= known


def test_nothing_runs_when_a_project_is_made_or_updated() -> None:
    assert "_tasks" not in CONFIG


def test_a_misspelt_name_in_a_template_is_an_error() -> None:
    assert CONFIG["_envops"]["undefined"] == "jinja2.StrictUndefined"


def test_questions_come_in_the_order_of_the_design() -> None:
    assert list(QUESTIONS) == ORDER


def test_the_questions_with_choices_are_those_of_the_catalogue() -> None:
    assert {name for name in QUESTIONS if "choices" in QUESTIONS[name]} == set(CHOICES)


@pytest.mark.parametrize(
    "name", [name for name in ORDER if name not in {*CHOICES, "started", "yours"}]
)
def test_every_text_is_checked_when_it_is_typed(name: str) -> None:
    assert f"complaint('{name}', {name}, " in QUESTIONS[name]["validator"]
