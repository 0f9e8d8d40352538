"""The blueprint rejects invalid answers, all of them in one message that says how to fix them."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from combinations import CATALOGUE, DEFAULTS
from copier.errors import UserMessageError
from jinja2 import Environment
from rendering import extension, render

BLUEPRINT = extension("blueprint")
EXTENSIONS = [extension("catalogue").CatalogueExtension, BLUEPRINT.BlueprintExtension]
REQUIREMENTS = {package.name for package in (*CATALOGUE.requirements, *CATALOGUE.development)} | {
    package.name
    for question in CATALOGUE.questions
    for option in question.options
    for package in option.requirements
}

VALID = {
    **DEFAULTS,
    "project_name": "Digits",
    "package_name": "digits",
    "description": "Reads digits.",
    "author_name": "Ada Łovelace 🧮",
    "author_email": "ada@host.example",
    "started": "2026-11-24",
    "yours": (),
}

INVALID_TEXTS = [
    ("project_name", "", "is empty"),
    ("project_name", "a\nb", "line break"),
    ("project_name", "a\x00b", "control character"),
    ("project_name", "a\x85b", "control character"),
    ("project_name", "a\u2028b", "line break"),
    ("project_name", " a", "begins or ends with a space"),
    ("project_name", "a" * 61, "at most 60"),
    ("package_name", "class", "is a Python keyword"),
    ("package_name", "match", "is a Python keyword"),
    ("package_name", "json", "Python's standard library"),
    ("package_name", "test", "Python's standard library"),
    ("package_name", "torch", "a package that the project uses"),
    ("package_name", "tests", "folder"),
    ("package_name", "con", "device"),
    ("package_name", "com1", "device"),
    ("package_name", "digits\n", "isn't a valid package name"),
    ("package_name", "Digits", "isn't a valid package name"),
    ("package_name", "1digits", "isn't a valid package name"),
    ("package_name", "my-digits", "isn't a valid package name"),
    ("package_name", "", "isn't a valid package name"),
    ("package_name", "a" * 41, "at most 40"),
    ("description", "two\nlines", "line break"),
    ("description", "a" * 201, "at most 200"),
    ("author_name", "Ada ", "begins or ends with a space"),
    ("author_email", "ada", "isn't an e-mail address"),
    ("author_email", "ada@host", "isn't an e-mail address"),
    ("author_email", "a da@host.example", "isn't an e-mail address"),
    ("author_email", "<ada@host.example>", "isn't an e-mail address"),
    ("author_email", "ada@host.example\n", "isn't an e-mail address"),
]

DIFFICULT_NAMES = [
    "Digits",
    "Torch",
    "NumPy",
    "pytest",
    "scikit-learn",
    "Class",
    "match",
    "JSON",
    "test",
    "Data",
    "CON",
    "COM1",
    "2 fast",
    "9" * 60,
    "a" * 60,
    "_" * 60,
    "___x___",
    "Łódź Ünïcödé",
    "数字",
    "🧮",
    "",
    "\n",
    "\u202eabc",
    "İK",
    "../../etc/passwd",
    "{{ 1 }}{% raw %}",
    "'\"`\\",
    "__init__",
    "None",
]


def error_message(**changes: Any) -> str:
    """The error message for valid answers with these changes."""
    with pytest.raises(UserMessageError) as error:
        BLUEPRINT.validate({**VALID, **changes}, CATALOGUE)
    return str(error.value)


def with_conflict(name: str, answer: str, other: str, other_answer: str) -> Any:
    """A catalogue in which one option declares a conflict with another."""
    catalogue = copy.deepcopy(CATALOGUE)
    question = catalogue.question(name)
    conflicts = {other: {other_answer: "they can't share a disk"}}
    question.options = tuple(
        dataclasses.replace(option, conflicts=conflicts) if option.value == answer else option
        for option in question.options
    )
    return catalogue


@pytest.mark.parametrize(
    ("yours", "reason"),
    [
        (3, "yours 3 isn't a list"),
        (None, "yours None isn't a list"),
        ("src/a.py", "yours 'src/a.py' isn't a list"),
        ([["a"]], "yours.0 ['a'] Input should be a valid string"),
        ([""], "yours.0 '' isn't a path"),
        (["a\nb"], "isn't a path"),
        (["/etc/passwd"], "isn't inside the project"),
        (["src/../../a"], "isn't inside the project"),
        ([".git/hooks/pre-commit"], "isn't inside the project"),
        (["C:/a"], "isn't inside the project"),
        (["src\\a.py"], "isn't inside the project"),
    ],
    ids=str,
)
def test_paths_outside_the_project_are_rejected(
    yours: Any, reason: str, template: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserMessageError) as error:
        render(template, tmp_path / "digits", yours=yours)
    assert reason in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_valid_answers_make_a_blueprint() -> None:
    assert BLUEPRINT.validate(VALID, CATALOGUE).model_dump() == VALID


def test_optional_texts_can_be_empty() -> None:
    empty = {"description": "", "author_name": "", "author_email": ""}
    assert BLUEPRINT.validate({**VALID, **empty}, CATALOGUE).author_email == ""


@pytest.mark.parametrize(("name", "value", "reason"), INVALID_TEXTS)
def test_an_invalid_text_is_rejected_with_its_name_its_value_and_the_reason(
    name: str, value: str, reason: str
) -> None:
    message = error_message(**{name: value})
    assert f"because {name} {value!r}" in message
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("module", sorted(CATALOGUE.modules))
def test_a_package_cannot_shadow_a_module_that_a_project_imports(module: str) -> None:
    assert "shadowed" in error_message(package_name=module)


@pytest.mark.parametrize("requirement", sorted(REQUIREMENTS))
def test_a_project_cannot_have_the_name_of_its_own_requirement(requirement: str) -> None:
    assert "package_name" in error_message(package_name=requirement.replace("-", "_"))


@pytest.mark.parametrize("question", [question.name for question in CATALOGUE.questions])
def test_an_unknown_option_is_rejected_and_the_options_are_listed(question: str) -> None:
    message = error_message(**{question: "nonsense"})
    assert f"because {question} 'nonsense' isn't an option" in message
    assert all(value in message for value in CATALOGUE.question(question).values)


@pytest.mark.parametrize("version", ["2.7", "3.10", "3", "3.11\n", "latest"])
def test_an_unsupported_python_version_is_rejected(version: str) -> None:
    assert f"because python_version {version!r} isn't supported" in error_message(
        python_version=version
    )


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "20261124", "2026-11-24\n"])
def test_an_invalid_date_is_rejected(text: str) -> None:
    assert f"because started {text!r} isn't a date" in error_message(started=text)


def test_a_missing_answer_is_rejected() -> None:
    assert "because tracker None" in error_message(tracker=None)


def test_one_message_lists_every_problem() -> None:
    invalid = {name: value for name, value, _ in INVALID_TEXTS}
    invalid |= dict.fromkeys([*DEFAULTS, "started", "yours"], "nonsense")
    message = error_message(**invalid)
    assert message.count("Nothing was written") == 1
    assert message.count("\n  - ") == len(invalid) == len(VALID)
    assert all(f"  - {name} " in message for name in invalid)


@pytest.mark.parametrize("declared_by", ["the earlier", "the later"])
def test_conflicting_options_are_rejected_whichever_declares_the_conflict(
    declared_by: str,
) -> None:
    earlier, later = CATALOGUE.questions[0], CATALOGUE.questions[-1]
    first, second = (earlier.name, earlier.default), (later.name, later.default)
    pair = (first, second) if declared_by == "the earlier" else (second, first)
    catalogue = with_conflict(*pair[0], *pair[1])
    with pytest.raises(UserMessageError) as error:
        BLUEPRINT.validate(VALID, catalogue)
    combined = f"{later.name} {later.default!r} can't be combined with {first[0]} {first[1]!r}"
    assert f"because {combined}: they can't share a disk" in str(error.value)
    assert BLUEPRINT.validate({**VALID, later.name: later.values[-1]}, catalogue)


@pytest.mark.parametrize("name", DIFFICULT_NAMES)
def test_the_slug_of_any_name_is_a_valid_package_name(name: str) -> None:
    slug: Any = Environment(extensions=EXTENSIONS).filters["slug"]
    assert BLUEPRINT.validate({**VALID, "package_name": slug(name)}, CATALOGUE)


@pytest.mark.parametrize("name", DIFFICULT_NAMES)
def test_the_title_of_any_folder_is_a_valid_project_name(name: str) -> None:
    title = BLUEPRINT.project_title(name)
    assert BLUEPRINT.validate({**VALID, "project_name": title}, CATALOGUE)


def test_a_slug_is_close_to_the_name() -> None:
    assert BLUEPRINT.slug("Flower Species-3") == "flower_species_3"


@pytest.mark.parametrize(("name", "value", "reason"), INVALID_TEXTS)
def test_a_typed_text_is_rejected_at_its_question(name: str, value: str, reason: str) -> None:
    typed: dict[str, Any] = {"defaults": False, "data": {}}
    assert reason in BLUEPRINT.answer_error(name, value, typed, CATALOGUE)
    assert BLUEPRINT.answer_error(name, VALID[name], typed, CATALOGUE) == ""


def test_a_text_that_was_not_typed_is_rejected_later() -> None:
    by_default: dict[str, Any] = {"defaults": True, "data": {}}
    by_data: dict[str, Any] = {"defaults": False, "data": {"package_name": ""}}
    for conf in (by_default, by_data):
        assert BLUEPRINT.answer_error("package_name", "", conf, CATALOGUE) == ""


NEW_DESTINATION = {
    "dst_path": "no such folder",
    "overwrite": False,
    "data": {},
}


def test_incomplete_answers_are_allowed_only_while_questions_are_asked() -> None:
    hook = BLUEPRINT.BlueprintExtension(Environment(extensions=EXTENSIONS)).hook
    prompt = {"_copier_phase": "prompt", "project_name": "Digits"}
    hook(prompt)
    assert "project" not in prompt
    with pytest.raises(UserMessageError, match="package_name"):
        hook({"_copier_phase": "render", "_copier_conf": NEW_DESTINATION, "project_name": "Digits"})


def test_templates_get_the_requirements_and_the_command() -> None:
    hook = BLUEPRINT.BlueprintExtension(Environment(extensions=EXTENSIONS)).hook
    context: dict[str, Any] = {**VALID, "_copier_phase": "render", "_copier_conf": NEW_DESTINATION}
    hook(context)
    names = [package.name for package in context["project"].requirements]
    assert names == sorted(set(names))
    assert {package.name for package in CATALOGUE.requirements} <= set(names)
    assert context["project"].development == [*CATALOGUE.development]
    assert context["command"] == "digits"


def test_a_starter_adds_its_requirements() -> None:
    answers = {**VALID, "starter": "tabular", "config": "dataclass", "tracker": "wandb"}
    blueprint = BLUEPRINT.validate(answers, CATALOGUE)
    project = BLUEPRINT.Project.of(blueprint, CATALOGUE)
    names = {package.name for package in project.requirements}
    assert {"polars", "scikit-learn", "cattrs", "wandb"} <= names
    assert not {"pillow", "pydantic", "mlflow"} & names


def test_an_unknown_python_version_is_offered_so_that_it_is_rejected_later() -> None:
    supported = list(BLUEPRINT.PYTHON_VERSIONS)
    assert json.loads(BLUEPRINT.python_versions({})) == supported
    assert json.loads(BLUEPRINT.python_versions({"python_version": "3.12"})) == supported
    assert json.loads(BLUEPRINT.python_versions({"python_version": "2"})) == [*supported, "2"]


def test_a_destination_with_files_is_rejected_and_one_with_only_git_is_not(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    conf: dict[str, Any] = {"dst_path": tmp_path, "overwrite": False}
    BLUEPRINT.require_empty_destination(conf)
    for name in "abcde":
        (tmp_path / name).touch()
    with pytest.raises(UserMessageError, match=r"isn't empty: a, b, c and 2 more\."):
        BLUEPRINT.require_empty_destination(conf)
    BLUEPRINT.require_empty_destination({**conf, "overwrite": True})
