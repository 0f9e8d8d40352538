"""The blueprint refuses answers that don't fit, all of them in one message with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from combinations import CATALOGUE, DEFAULTS
from copier.errors import UserMessageError
from jinja2 import Environment
from rendering import extension, render

BLUEPRINT = extension("blueprint")
EXTENSIONS = [extension("catalogue").CatalogueExtension, BLUEPRINT.BlueprintExtension]
REQUIREMENTS = {each.name for each in (*CATALOGUE.requirements, *CATALOGUE.development)} | {
    each.name for q in CATALOGUE.questions for option in q.options for each in option.requirements
}

GOOD = {
    **DEFAULTS,
    "project_name": "Digits",
    "package_name": "digits",
    "description": "Reads digits.",
    "author_name": "Ada Łovelace 🧮",
    "author_email": "ada@host.example",
    "started": "2026-11-24",
    "yours": (),
}

BAD_TEXTS = [
    ("project_name", "", "is empty"),
    ("project_name", "a\nb", "line break"),
    ("project_name", "a\x00b", "control character"),
    ("project_name", "a\x85b", "control character"),
    ("project_name", "a\u2028b", "line break"),
    ("project_name", " a", "begins or ends with a space"),
    ("project_name", "a" * 61, "at most 60"),
    ("package_name", "class", "keyword"),
    ("package_name", "match", "keyword"),
    ("package_name", "json", "Python's own module"),
    ("package_name", "test", "Python's own module"),
    ("package_name", "torch", "a package that the project uses"),
    ("package_name", "tests", "folder"),
    ("package_name", "con", "device"),
    ("package_name", "com1", "device"),
    ("package_name", "digits\n", "isn't a legal package"),
    ("package_name", "Digits", "isn't a legal package"),
    ("package_name", "1digits", "isn't a legal package"),
    ("package_name", "my-digits", "isn't a legal package"),
    ("package_name", "", "isn't a legal package"),
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

NASTY_NAMES = [
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


def refusal(**changes: Any) -> str:
    """What is said about good answers with these changes."""
    with pytest.raises(UserMessageError) as caught:
        BLUEPRINT.validate({**GOOD, **changes}, CATALOGUE)
    return str(caught.value)


def conflicting(question: str, answer: str, other: str, theirs: str) -> Any:
    """A catalogue in which one option says that it doesn't go with another."""
    stated = CATALOGUE.model_dump()
    for each in stated["questions"]:
        for option in each["options"]:
            if (each["name"], option["value"]) == (question, answer):
                option["conflicts"] = {other: {theirs: "they can't share a disk"}}
    return extension("catalogue").Catalogue.model_validate(stated)


@pytest.mark.parametrize(
    ("yours", "said"),
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
def test_paths_that_are_no_paths_of_the_project_are_refused(
    yours: Any, said: str, template: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserMessageError) as caught:
        render(template, tmp_path / "digits", yours=yours)
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_good_answers_make_a_blueprint() -> None:
    assert BLUEPRINT.validate(GOOD, CATALOGUE).model_dump() == GOOD


def test_texts_that_may_be_empty_may_be_empty() -> None:
    empty = {"description": "", "author_name": "", "author_email": ""}
    assert BLUEPRINT.validate({**GOOD, **empty}, CATALOGUE).author_email == ""


@pytest.mark.parametrize(("name", "given", "said"), BAD_TEXTS)
def test_a_bad_text_is_refused_with_its_name_its_value_and_the_reason(
    name: str, given: str, said: str
) -> None:
    message = refusal(**{name: given})
    assert f"because {name} {given!r}" in message
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("module", sorted(CATALOGUE.modules))
def test_a_package_cannot_hide_a_module_that_a_project_imports(module: str) -> None:
    assert "shadowed" in refusal(package_name=module)


@pytest.mark.parametrize("requirement", sorted(REQUIREMENTS))
def test_a_project_cannot_have_the_name_of_its_own_requirement(requirement: str) -> None:
    assert "package_name" in refusal(package_name=requirement.replace("-", "_"))


@pytest.mark.parametrize("question", [question.name for question in CATALOGUE.questions])
def test_an_unknown_option_is_refused_and_the_known_ones_are_named(question: str) -> None:
    message = refusal(**{question: "nonsense"})
    assert f"because {question} 'nonsense' is no option" in message
    assert all(value in message for value in CATALOGUE.question(question).values)


@pytest.mark.parametrize("version", ["2.7", "3.10", "3", "3.11\n", "latest"])
def test_a_python_that_is_not_supported_is_refused(version: str) -> None:
    assert f"because python_version {version!r} isn't supported" in refusal(python_version=version)


@pytest.mark.parametrize("day", ["", "yesterday", "2026-13-01", "20261124", "2026-11-24\n"])
def test_a_day_that_is_none_is_refused(day: str) -> None:
    assert f"because started {day!r} isn't a day" in refusal(started=day)


def test_a_missing_answer_is_refused() -> None:
    assert "because tracker None" in refusal(tracker=None)


def test_every_problem_is_in_the_one_message() -> None:
    bad = {name: given for name, given, _ in BAD_TEXTS}
    bad |= dict.fromkeys([*DEFAULTS, "started", "yours"], "nonsense")
    message = refusal(**bad)
    assert message.count("Nothing was written") == 1
    assert message.count("\n  - ") == len(bad) == len(GOOD)
    assert all(f"  - {name} " in message for name in bad)


@pytest.mark.parametrize("stated_by", ["the earlier", "the later"])
def test_options_that_conflict_are_refused_whichever_of_them_says_so(stated_by: str) -> None:
    earlier, later = CATALOGUE.questions[0], CATALOGUE.questions[-1]
    first, second = (earlier.name, earlier.default), (later.name, later.default)
    states, other = (first, second) if stated_by == "the earlier" else (second, first)
    catalogue = conflicting(*states, *other)
    with pytest.raises(UserMessageError) as caught:
        BLUEPRINT.validate(GOOD, catalogue)
    expected = f"{later.name} {later.default!r} doesn't go with {earlier.name} {earlier.default!r}"
    assert f"because {expected}: they can't share a disk" in str(caught.value)
    assert BLUEPRINT.validate({**GOOD, later.name: later.values[-1]}, catalogue)


@pytest.mark.parametrize("name", NASTY_NAMES)
def test_the_slug_of_any_name_is_a_legal_package(name: str) -> None:
    slug: Any = Environment(extensions=EXTENSIONS).filters["slug"]
    assert BLUEPRINT.validate({**GOOD, "package_name": slug(name)}, CATALOGUE)


def test_a_slug_is_as_close_to_the_name_as_it_can_be() -> None:
    assert BLUEPRINT.slug("Flower Species-3") == "flower_species_3"


@pytest.mark.parametrize(("name", "given", "said"), BAD_TEXTS)
def test_a_typed_text_is_refused_at_its_question_already(name: str, given: str, said: str) -> None:
    typed: dict[str, Any] = {"defaults": False, "data": {}}
    assert said in BLUEPRINT.complaint(name, given, typed, CATALOGUE)
    assert BLUEPRINT.complaint(name, GOOD[name], typed, CATALOGUE) == ""


def test_a_text_that_was_not_typed_is_left_to_the_one_message() -> None:
    by_default: dict[str, Any] = {"defaults": True, "data": {}}
    by_data: dict[str, Any] = {"defaults": False, "data": {"package_name": ""}}
    for conf in (by_default, by_data):
        assert BLUEPRINT.complaint("package_name", "", conf, CATALOGUE) == ""


ELSEWHERE = {"dst_path": "no such folder", "overwrite": False}


def test_incomplete_answers_pass_while_questions_are_asked_and_not_after() -> None:
    hook = BLUEPRINT.BlueprintExtension(Environment(extensions=EXTENSIONS)).hook
    prompt = {"_copier_phase": "prompt", "project_name": "Digits"}
    hook(prompt)
    assert "project" not in prompt
    with pytest.raises(UserMessageError, match="package_name"):
        hook({"_copier_phase": "render", "_copier_conf": ELSEWHERE, "project_name": "Digits"})


def test_templates_are_given_the_project() -> None:
    hook = BLUEPRINT.BlueprintExtension(Environment(extensions=EXTENSIONS)).hook
    context: dict[str, Any] = {**GOOD, "_copier_phase": "render", "_copier_conf": ELSEWHERE}
    hook(context)
    names = [each.name for each in context["project"].requirements]
    assert names == sorted(set(names))
    assert {each.name for each in CATALOGUE.requirements} <= set(names)
    assert [question for question, _ in context["project"].decisions] == [*CATALOGUE.questions]


def test_a_destination_with_files_is_refused_and_one_with_git_alone_is_not(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    conf: dict[str, Any] = {"dst_path": tmp_path, "overwrite": False}
    BLUEPRINT.require_room(conf)
    for name in "abcde":
        (tmp_path / name).touch()
    with pytest.raises(UserMessageError, match=r"isn't empty: a, b, c and 2 more\."):
        BLUEPRINT.require_room(conf)
    BLUEPRINT.require_room({**conf, "overwrite": True})
