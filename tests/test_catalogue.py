"""The catalogue is the one place where choices are stated: it has to be whole and consistent."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from combinations import CATALOGUE, COMBINATIONS, SHAPING, Answers
from pydantic import ValidationError
from rendering import ROOT, extension

MODULE = extension("catalogue")
OPTIONS = {f"{q.name}-{each.value}": each for q in CATALOGUE.questions for each in q.options}
STATED_BY = {"project": CATALOGUE, **OPTIONS}
REQUIREMENTS = {
    **{f"{by}-{each.name}": each for by in STATED_BY for each in STATED_BY[by].requirements},
    **{f"development-{each.name}": each for each in CATALOGUE.development},
}
SETTINGS = {f"{by}-{each.path}": each for by in STATED_BY for each in STATED_BY[by].settings}
IN_FILES = [name for name in SHAPING if name != "stage"]  # a stage leaves out, it has no file


def together(answers: Answers, what: str) -> list[Any]:
    """The settings, or the checks, of one combination; a starter may restate a project's own."""
    stated = [*getattr(CATALOGUE, what)]
    for option in CATALOGUE.chosen(answers):
        names = {(each.section, each.name) for each in getattr(option, what)}
        own = (each for each in stated if each not in getattr(CATALOGUE, what))
        assert not names & {(each.section, each.name) for each in own}, "options contradict"
        stated = [each for each in stated if (each.section, each.name) not in names]
        stated.extend(getattr(option, what))
    return stated


def included(path: Path) -> bool:
    """Whether a template names the file itself, whatever the answers."""
    name = f'"{path.relative_to(ROOT).as_posix()}"'
    templates = (ROOT / "template").rglob("*.jinja")
    return any(name in each.read_text(encoding="utf-8") for each in templates)


@pytest.mark.parametrize("question", IN_FILES)
def test_every_option_has_its_file_and_every_file_its_option(question: str) -> None:
    paths = [path for path in (ROOT / "choices" / question).iterdir() if not included(path)]
    names = [path.name.split(".")[0] for path in paths if path.name != "__pycache__"]
    assert sorted(names) == sorted(CATALOGUE.question(question).values)


def test_every_folder_of_choices_belongs_to_a_question_or_is_a_part_of_its_options() -> None:
    folders = {path.name for path in (ROOT / "choices").iterdir() if path.is_dir()}
    parts = {(part, name) for option in OPTIONS.values() for part, name in option.parts.items()}
    questions = {question.name for question in CATALOGUE.questions}
    assert folders <= questions | {part for part, _ in parts}
    for part, _ in parts:
        variants = {path.stem for path in (ROOT / "choices" / part).glob("*.py")}
        assert variants == {name for other, name in parts if other == part}


def test_every_starter_has_the_same_files() -> None:
    folders = [
        ROOT / "choices" / "starter" / value for value in CATALOGUE.question("starter").values
    ]
    files = [{path.name for path in folder.glob("*.*")} for folder in folders]
    assert files[0]
    assert all(each == files[0] for each in files)


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_a_label_fits_on_one_line_of_a_terminal(option: Any) -> None:
    assert option.label.isprintable()
    assert len(option.label) <= 110


@pytest.mark.parametrize("requirement", REQUIREMENTS.values(), ids=REQUIREMENTS)
def test_a_requirement_has_both_bounds(requirement: Any) -> None:
    lower, upper = requirement.versions.split(",")
    assert lower.startswith(">=")
    assert upper.startswith("<")


def test_two_options_that_need_a_package_ask_for_the_same_versions() -> None:
    stated = {(each.name, each.versions, each.module) for each in REQUIREMENTS.values()}
    assert len(stated) == len({each.name for each in REQUIREMENTS.values()})


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_a_setting_has_a_default_of_its_type_within_its_bounds(setting: Any) -> None:
    if setting.type.startswith("Literal["):
        assert setting.default in ast.literal_eval(setting.type.removeprefix("Literal"))
        return
    types = {"bool": bool, "int": int, "float": (int, float), "str": str, "Path": str}
    assert isinstance(setting.default, types[setting.type])
    if setting.is_number:
        value = setting.default
        assert not isinstance(value, bool)
        assert setting.at_least is None or setting.at_least <= value
        assert setting.more_than is None or setting.more_than < value
        assert setting.at_most is None or value <= setting.at_most
        assert setting.less_than is None or value < setting.less_than


def test_only_numbers_have_bounds() -> None:
    with pytest.raises(ValidationError, match="only a number has bounds"):
        MODULE.Setting(section="a", name="b", type="str", default="", why="No reason.", at_least=1)


@pytest.mark.parametrize("answers", COMBINATIONS.values(), ids=COMBINATIONS)
def test_no_setting_is_stated_twice_and_each_has_a_section(answers: Answers) -> None:
    settings = together(answers, "settings")
    paths = [each.path for option in CATALOGUE.chosen(answers) for each in option.settings]
    assert len(paths) == len(set(paths))  # an option may state one of every project's anew
    assert {each.section for each in settings} <= {"", *(each.name for each in CATALOGUE.sections)}


@pytest.mark.parametrize("answers", COMBINATIONS.values(), ids=COMBINATIONS)
def test_checks_name_settings_that_exist_and_the_defaults_pass_them(answers: Answers) -> None:
    defaults: dict[str, dict[str, Any]] = {}
    for setting in together(answers, "settings"):
        defaults.setdefault(setting.section, {})[setting.name] = setting.default
    for check in together(answers, "checks"):
        section = SimpleNamespace(**defaults[check.section])
        assert hasattr(section, check.name), check.name
        assert eval(check.holds, {"self": section}), check.holds


def test_a_misspelt_field_is_an_error() -> None:
    with pytest.raises(ValidationError, match="costz"):
        MODULE.Option.model_validate(
            {
                "value": "a",
                "title": "Aa",
                "buys": "bb",
                "costs": "cc",
                "prefer": "dd",
                "costz": "ee",
            }
        )


def test_a_default_that_is_no_option_is_an_error() -> None:
    stated = CATALOGUE.questions[0].model_dump()
    with pytest.raises(ValidationError, match="none of its options"):
        MODULE.Question.model_validate({**stated, "default": "nonsense"})


def test_an_option_that_is_stated_twice_is_an_error() -> None:
    stated = CATALOGUE.questions[0].model_dump()
    with pytest.raises(ValidationError, match="stated twice"):
        MODULE.Question.model_validate({**stated, "options": [*stated["options"]] * 2})


def test_conflicts_name_options_that_exist() -> None:
    for option in OPTIONS.values():
        for other, named in option.conflicts.items():
            assert set(named) <= set(CATALOGUE.question(other).values)


def test_looking_for_an_unknown_option_names_those_that_there_are() -> None:
    question = CATALOGUE.questions[0]
    with pytest.raises(KeyError, match=", ".join(question.values)):
        question.option("nonsense")
