"""Copier silently ignores unknown keys in `copier.yml`, such as a misspelled one."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import modules
import pathspec
import pytest
import yaml
from combinations import CATALOGUE, CHOICES, DEFAULTS
from copier import _template, _user_data  # private, but there is no public list
from copier.errors import UserMessageError
from jinja2 import Environment, StrictUndefined
from rendering import ROOT, extension, render
from repository import EARLIER, NEWEST, commit, copy, update
from test_projects import ENVIRONMENT

from ml_architect.cli import main

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
    "devices",
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
    assert {"_subdirectory", "_exclude", "_envops", "_tasks"} <= known, (
        "the lookups are written differently now"
    )
    assert {name for name in CONFIG if name.startswith("_")} <= known


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_field_of_a_question_is_one_that_copier_knows(name: str) -> None:
    passed_by_copier = {"var_name", "answers", "context", "jinja_env", "settings"}
    known = set(inspect.signature(_user_data.Question).parameters) - passed_by_copier
    assert {"type", "help", "default"} <= set(QUESTIONS[name]) <= known


def test_nothing_runs_when_a_project_is_made_or_updated() -> None:
    assert "_tasks" not in CONFIG


def test_the_readme_names_the_commands_that_are_shown_after_a_project_was_made() -> None:
    readme = (ROOT / "template/README.md.jinja").read_text(encoding="utf-8")
    shown = CONFIG["_message_after_copy"]
    for command in (
        "pip install torch --index-url https://download.pytorch.org/whl/cpu",
        "pip install --editable '.[dev]'",
        "uv sync",
        "uv pip install --torch-backend cpu --editable '.[dev]'",
    ):
        assert command in shown
        assert command in readme


def test_uv_sync_installs_the_development_tools_which_are_listed_once(
    template: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "made", project_name="My Digits")
    content = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    table = content["project"]
    # uv installs the group `dev`, and takes the project's own name as the project itself.
    assert content["dependency-groups"] == {"dev": [f"{table['name']}[dev]"]}
    assert list(table["optional-dependencies"]) == ["dev"]


def test_a_misspelled_name_in_a_template_is_an_error() -> None:
    assert CONFIG["_envops"]["undefined"] == "jinja2.StrictUndefined"


def test_questions_have_the_designed_order() -> None:
    assert list(QUESTIONS) == ORDER


def test_the_questions_with_choices_are_those_of_the_catalogue() -> None:
    assert {name for name in QUESTIONS if "choices" in QUESTIONS[name]} == set(CHOICES)


@pytest.mark.parametrize(
    "name", [name for name in ORDER if name not in {*CHOICES, "started", "yours"}]
)
def test_every_text_is_checked_when_it_is_typed(name: str) -> None:
    assert f"answer_error('{name}', {name}, " in QUESTIONS[name]["validator"]


def excluded(operation: str = "copy", **answers: Any) -> pathspec.PathSpec[Any]:
    """The excluded paths, as Copier reads `_exclude`."""
    context = {"_copier_operation": operation, "yours": [], **DEFAULTS, **answers}
    environment = Environment(undefined=StrictUndefined)
    rendered = [environment.from_string(text).render(context) for text in CONFIG["_exclude"]]
    lines = [line for pattern in rendered for line in pattern.splitlines()]
    return pathspec.PathSpec.from_lines("gitignore", lines)


TESTS = ["conftest", "test_commands", "test_configs", "test_data", "test_export", "test_resume"]


@pytest.mark.parametrize(
    ("stage", "kept"),
    [("exploration", TESTS[-1:]), ("prototype", [*TESTS[:-2], TESTS[-1]]), ("production", TESTS)],
)
def test_a_stage_excludes_the_tests_of_others(stage: str, kept: list[str]) -> None:
    paths = [f"tests/{name}.py" for name in TESTS]
    excluded_paths = excluded(stage=stage)
    assert [path for path in paths if not excluded_paths.match_file(path)] == [
        f"tests/{name}.py" for name in kept
    ]


@pytest.mark.parametrize(
    ("path", "answers"),
    [
        ("AGENTS.md", {"stage": "exploration"}),
        (".pre-commit-config.yaml", {"stage": "exploration"}),
        ("configs/scale.toml", {"stage": "exploration"}),
        ("configs/tune.toml", {"stage": "exploration"}),
        ("configs/ablate.toml", {"stage": "exploration"}),
        ("scripts/throwaway/profile.py", {"stage": "exploration"}),
        ("src/digits/export.py", {"stage": "prototype"}),
        (".github/workflows/ci.yml", {"stage": "prototype"}),
        ("Dockerfile", {"stage": "prototype"}),
        (".dockerignore", {"stage": "prototype"}),
        ("constraints.txt", {"stage": "prototype"}),
        ("data/examples.csv", {"starter": "image"}),
        ("src/digits/data/tabular.py", {"starter": "blank"}),
        ("src/digits/eval/boosting.py", {"starter": "image"}),
        ("LICENSE", {"license": "LicenseRef-Proprietary"}),
    ],
    ids=str,
)
def test_a_file_is_excluded_for_one_answer_and_kept_for_another(
    path: str, answers: dict[str, str]
) -> None:
    (name,) = answers
    matches = [excluded(**{name: value}).match_file(path) for value in CHOICES[name]]
    assert excluded(**answers).match_file(path)
    assert not all(matches)


def test_an_update_excludes_the_owners_files() -> None:
    owners = [
        "README.md",
        "configs/small.toml",
        "scripts/throwaway/explore.py",
        "data/examples.csv",
        "src/digits/settings.py",
        "src/digits/data/source.py",
        "src/digits/features/transforms.py",
        "src/digits/models/network.py",
        "src/digits/eval/metrics.py",
    ]
    paths = [*owners, "src/digits/config.py", "src/digits/training/loop.py", "pyproject.toml"]
    update = excluded("update", starter="blank")
    assert [path for path in paths if update.match_file(path)] == owners
    assert not any(excluded(starter="blank").match_file(path) for path in paths)


def test_a_file_that_the_owner_took_over_is_excluded_from_updates_at_every_stage() -> None:
    resume = "tests/test_resume.py"
    for stage in CHOICES["stage"]:
        assert excluded("update", stage=stage, yours=[resume, "docs"]).match_file(resume)
        assert not excluded("copy", stage=stage, yours=[resume]).match_file(resume)


# --- names of packages --------------------------------------------------------------------------

RESERVED = set(modules.FILE.read_text(encoding="utf-8").split())


def test_every_pinned_package_and_installer_is_a_reserved_name() -> None:
    assert sorted(modules.packages() - RESERVED) == []


@pytest.mark.skipif(not ENVIRONMENT.exists(), reason=f"{ENVIRONMENT} doesn't exist")
def test_every_module_of_an_environment_is_a_reserved_name() -> None:
    assert sorted(set(modules.modules()) - RESERVED) == []


@pytest.mark.parametrize(
    "name",
    ["typing_extensions", "sympy", "jinja2", "pip", "setuptools", "hatchling", "torch", "sklearn"],
)
def test_a_package_cannot_have_the_name_of_anything_in_its_environment(
    name: str, template: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserMessageError, match="would be shadowed by a package"):
        render(template, tmp_path / "made", package_name=name)
    assert list(tmp_path.iterdir()) == []
    assert extension("blueprint").slug(name, CATALOGUE.modules) == f"{name}_project"


@pytest.mark.slow
def test_a_project_whose_name_is_reserved_since_then_can_still_be_updated(
    repository: Path, tmp_path: Path
) -> None:
    started = "2026-01-01"  # as in the answers of a project
    project = copy(repository, tmp_path / "comm", EARLIER, package_name="comm", started=started)
    update(project, NEWEST, stage="production")
    commit(project, "Updated")
    (project / "src/comm/training/device.py").unlink()
    commit(project, "Deleted")
    options = ["--yes", "--template", str(repository), "--data", "stage=exploration"]
    assert main(["update", str(project), *options]) == 0
    assert not (project / "AGENTS.md").exists()
