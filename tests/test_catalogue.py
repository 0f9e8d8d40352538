"""The catalogue is the one list of all options, so it has to be complete and consistent."""

from __future__ import annotations

import re
from typing import Any

import pytest
from combinations import CATALOGUE, COMBINATIONS
from jinja2 import Environment, StrictUndefined
from rendering import ROOT, extension

QUESTIONS = {question.name: question for question in CATALOGUE.questions}
OPTIONS = {
    f"{question.name}-{option.value}": option
    for question in CATALOGUE.questions
    for option in question.options
}
REQUIREMENTS = {
    f"{name}-{package.name}": package
    for name, packages in {
        "project": CATALOGUE.requirements,
        "development": CATALOGUE.development,
        **{name: option.requirements for name, option in OPTIONS.items()},
    }.items()
    for package in packages
}
INCLUDED = re.compile(r"\{[{%] (?:source\(|include )(\"choices/.+?)\)? -?[}%]\}")
"""An expression that names a file in choices/, such as `"choices/config/" ~ config ~ ".py"`."""


# --- questions and options ----------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_options_are_unique_and_the_default_is_one_of_them(question: Any) -> None:
    titles = [option.title for option in question.options]
    assert len(set(question.values)) == len(set(titles)) == len(question.options) > 1
    assert question.default in question.values


def test_questions_are_unique() -> None:
    assert len(QUESTIONS) == len(CATALOGUE.questions)


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_a_label_fits_on_one_line_of_a_terminal(option: Any) -> None:
    assert option.label.isprintable()
    assert len(option.label) <= 110


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_texts_can_be_joined_into_a_sentence(option: Any) -> None:
    for text in (option.buys, option.costs, option.prefer):
        assert text.isprintable()
        assert text == text.strip(" .;")
        assert len(text) >= 2


def test_titles_default_to_the_values_as_words() -> None:
    assert QUESTIONS["checkpoint_writer"].title == "Checkpoint writer"
    assert OPTIONS["checkpoint-best_and_last"].title == "Best and last"
    assert OPTIONS["license-MIT"].title == "MIT"
    assert OPTIONS["tracker-wandb"].title == "Weights & Biases"


def test_a_misspelled_field_is_an_error() -> None:
    texts = {"buys": "b", "prefer": "p"}
    with pytest.raises(TypeError, match="costz"):
        extension("catalogue").Option("a", **texts, costz="c")


def test_a_missing_text_is_an_error() -> None:
    with pytest.raises(TypeError, match="prefer"):
        extension("catalogue").Option("a", buys="b", costs="c")


def test_conflicts_name_existing_options() -> None:
    for option in OPTIONS.values():
        for name, reasons in option.conflicts.items():
            assert set(reasons) <= set(QUESTIONS[name].values)


def test_an_unknown_question_or_option_is_an_error() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        CATALOGUE.question("nonsense")
    with pytest.raises(KeyError, match="nonsense"):
        CATALOGUE.questions[0].option("nonsense")


def test_the_chosen_options_come_in_the_order_of_the_questions() -> None:
    defaults = {question.name: question.default for question in reversed(CATALOGUE.questions)}
    chosen = CATALOGUE.chosen(defaults)
    assert [option.value for option in chosen] == [*reversed(defaults.values())]


# --- requirements -------------------------------------------------------------------------------


@pytest.mark.parametrize("requirement", REQUIREMENTS.values(), ids=REQUIREMENTS)
def test_a_requirement_is_a_package_with_a_lower_and_an_upper_bound(requirement: Any) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", requirement.name)
    assert re.fullmatch(r"(\[[a-z,-]+\])?", requirement.extras)
    assert re.fullmatch(r">=[0-9.]+,<[0-9.]+", requirement.versions)
    assert requirement.module.isidentifier()
    assert requirement.why.isprintable()
    assert requirement.why


def test_options_that_require_the_same_package_agree_on_its_versions() -> None:
    packages = REQUIREMENTS.values()
    distinct = {(package.name, package.versions, package.module) for package in packages}
    assert len(distinct) == len({package.name for package in packages})


def test_modules_include_the_names_of_packages_and_of_imports() -> None:
    assert {"torch", "sklearn", "scikit_learn", "pil", "pillow", "tomli_w"} <= CATALOGUE.modules


# --- files --------------------------------------------------------------------------------------


def test_every_file_in_choices_is_included_for_some_answers_and_none_is_missing() -> None:
    included: set[str] = set()
    for template in (ROOT / "template").rglob("*.jinja"):
        for expression in INCLUDED.findall(template.read_text(encoding="utf-8")):
            path = Environment(undefined=StrictUndefined).compile_expression(expression)
            included.update(str(path(**answers)) for answers in COMBINATIONS.values())
    included = {path for path in included if "Proprietary" not in path}  # has no license file
    # Tests of starters are run by test_projects.py; versions by the names in `project.constraints`.
    other = re.compile(r"__pycache__|choices/constraints/|/test_")
    paths = {p.relative_to(ROOT).as_posix() for p in (ROOT / "choices").rglob("*") if p.is_file()}
    existing = {path for path in paths if not other.search(path)}
    assert sorted(included - existing) == []
    assert sorted(existing - included) == []


def test_versions_are_pinned_for_every_set_of_requirements_and_no_other() -> None:
    sets = {"project", "development"} | {name for name, o in OPTIONS.items() if o.requirements}
    assert {path.stem for path in (ROOT / "choices/constraints").iterdir()} == sets
