"""An update brings what is new, and neither loses nor garbles what a project's owner wrote."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from combinations import CATALOGUE
from rendering import ROOT, copy_template
from repository import (
    NEWEST,
    UNRELEASED,
    commit,
    copy,
    git,
    releases,
    tree,
    update,
    with_releases,
)

VERSIONS = [release.version for release in releases()] or [UNRELEASED]

OTHERS = [
    (question.name, option.value)
    for question in CATALOGUE.questions
    for option in question.options
    if question.name != "starter" and option.value != question.default
]
"""Every answer that a living project can switch to; a starter is only a start."""

YOURS = (
    "README.md",
    "configs/*",
    "data/*",
    "scripts/throwaway/*",
    "src/*/data/source.py",
    "src/*/features/transforms.py",
    "src/*/models/network.py",
)
"""What an update never touches."""

ALWAYS = {".copier-answers.yml", "docs/decisions.md"}
"""What says how the project was answered, hence changes with any answer."""

CHANGES = {
    "config": {"pyproject.toml", "src/*/config.py"},
    "tracker": {"pyproject.toml", "src/*/training/tracker.py"},
    "checkpoint": {"src/*/config.py", "src/*/training/retention.py"},
    "checkpoint_writer": {"src/*/config.py", "src/*/training/writer.py"},
    "license": {"pyproject.toml", "LICENSE"},
    # More or fewer checks, and what is said about them; nothing that runs.
    "stage": {
        "pyproject.toml",
        "AGENTS.md",
        "tests/*",
        ".pre-commit-config.yaml",
        ".github/*",
        "Dockerfile",
        ".dockerignore",
    },
}
"""What else may change with the answer to a question. Outside of it, nothing does."""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template's repository, with every release and the working tree."""
    return with_releases(tmp_path_factory.mktemp("repository") / "template")


def is_yours(name: str) -> bool:
    """Whether a file was created once and is never touched by an update."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in YOURS)


def edit(project: Path) -> None:
    """Do to a project what its owner does."""
    package = next((project / "src").iterdir())
    for name in tree(project):
        if is_yours(name):
            (project / name).write_text("Mine.\n", encoding="utf-8")
    mine = "def mine() -> int:\n    return 1\n\n\n"
    insert(package / "training/loop.py", "def build_network(", mine)
    insert(package / "cli.py", "def main(", "MINE = 1\n\n\n")
    insert(project / "pyproject.toml", "\n\n    # The template's:", '\n    "polars>=1,<2",')
    append(project / ".gitignore", "/mine/\n")
    (package / "data/mine.py").write_text("MINE = 1\n", encoding="utf-8")
    (project / "scripts/throwaway/explore.py").unlink()
    (project / "tests/test_configs.py").unlink()


def append(file: Path, text: str) -> None:
    """Add to the end of a file."""
    file.write_text(file.read_text(encoding="utf-8") + text, encoding="utf-8")


def insert(file: Path, before: str, text: str) -> None:
    """Add to a file before the first place where something stands."""
    old = file.read_text(encoding="utf-8")
    assert before in old, f"{file} has no {before!r} to write something before"
    file.write_text(old.replace(before, text + before, 1), encoding="utf-8")


def assert_same(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """Two trees are equal, and nothing was left half merged."""
    assert sorted(found) == sorted(expected)
    for name, content in found.items():
        assert content.decode(errors="replace") == expected[name].decode(errors="replace"), name
        assert b"<<<<<<<" not in content, name


@pytest.mark.parametrize("version", VERSIONS)
def test_an_update_equals_a_fresh_copy_with_the_owners_edits(
    version: str, template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "old" / "digits", version)
    edit(project)
    commit(project, "Mine")
    before = tree(project)
    fresh = copy(template, tmp_path / "new" / "digits", NEWEST)
    edit(fresh)

    update(project, NEWEST)

    yours = {name: content for name, content in before.items() if is_yours(name)}
    others = {name: content for name, content in tree(fresh).items() if not is_yours(name)}
    assert_same(tree(project), yours | others)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_untouched_project_is_updated_without_conflict(
    version: str, template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "old" / "digits", version)
    before = tree(project)
    update(project, NEWEST)
    fresh = tree(copy(template, tmp_path / "new" / "digits", NEWEST))
    yours = {name: content for name, content in before.items() if is_yours(name)}
    assert_same(tree(project), {name: fresh[name] for name in fresh if not is_yours(name)} | yours)


def test_an_update_to_the_same_version_changes_nothing(template: Path, tmp_path: Path) -> None:
    project = copy(template, tmp_path / "digits", NEWEST)
    update(project, NEWEST)
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize(("question", "answer"), OTHERS)
def test_one_answer_changes_in_a_living_project(
    question: str, answer: str, template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "old" / "digits", NEWEST)
    edit(project)
    commit(project, "Mine")
    before = tree(project)
    fresh = copy(template, tmp_path / "new" / "digits", NEWEST, **{question: answer})
    edit(fresh)

    update(project, NEWEST, **{question: answer})

    after = tree(project)
    yours = {name: content for name, content in before.items() if is_yours(name)}
    others = {name: content for name, content in tree(fresh).items() if not is_yours(name)}
    assert_same(after, yours | others)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    may_change = ALWAYS | CHANGES[question]
    assert {
        name for name in changed if not any(fnmatch.fnmatch(name, each) for each in may_change)
    } == set()
    if question not in {"stage", "license"}:
        assert without_dependencies(before) == without_dependencies(after)


def test_it_is_stated_what_changes_with_each_answer() -> None:
    assert CHANGES.keys() == {question.name for question in CATALOGUE.questions} - {"starter"}


def without_dependencies(files: dict[str, bytes]) -> dict[str, Any]:
    """What a project's `pyproject.toml` says, its dependency list aside."""
    said = tomllib.loads(files["pyproject.toml"].decode())
    del said["project"]["dependencies"]
    return said


# --- the extensions themselves change from version to version -----------------------------------

COPIER: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
LISTED = [each for each in COPIER["_jinja_extensions"] if each.endswith("Extension")]
"""Each extension as `extensions/noun.py:Class`."""

MARK = """

def _marked(self, environment, original={name}.__init__):
    original(self, environment)
    environment.globals["version_of_{name}"] = "{version}"


{name}.__init__ = _marked
"""


@pytest.fixture(scope="session")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our extensions, each of which says its version, around a template of one file."""
    template = copy_template(tmp_path_factory.mktemp("two") / "template")
    for name in tree(template / "template"):
        if "answers_file" not in name:
            (template / "template" / name).unlink()
    said = [f"{{{{ version_of_{each.partition(':')[2]} }}}}" for each in LISTED]
    said += ["{% for each in project.requirements %}", "{{ each.name }}", "{% endfor %}"]
    (template / "template/said.txt.jinja").write_text("\n".join([*said, ""]), encoding="utf-8")
    plain = {each: (template / each.partition(":")[0]).read_text("utf-8") for each in LISTED}
    for version in ("1.0.0", "2.0.0"):
        for each in LISTED:
            path, _, name = each.partition(":")
            source = plain[each] + MARK.format(name=name, version=version)
            if version == "2.0.0":
                source = source.replace(
                    "REQUIREMENTS = (",
                    "REQUIREMENTS = (\n    "
                    'Requirement(name="second", versions=">=2,<3", module="second", why="guard"),',
                )
            (template / path).write_text(source, encoding="utf-8")
        commit(template, version, f"v{version}")
    return template


def test_each_version_is_rendered_with_its_own_extensions(
    two_versions: Path, tmp_path: Path
) -> None:
    project = copy(two_versions, tmp_path / "old" / "digits", "1.0.0")
    old = (project / "said.txt").read_text(encoding="utf-8").splitlines()
    assert old[: len(LISTED)] == ["1.0.0"] * len(LISTED)
    assert "second" not in old

    update(project, "2.0.0")

    new = (project / "said.txt").read_text(encoding="utf-8").splitlines()
    assert new[: len(LISTED)] == ["2.0.0"] * len(LISTED)
    assert "second" in new
    assert_same(tree(project), tree(copy(two_versions, tmp_path / "new" / "digits", "2.0.0")))
