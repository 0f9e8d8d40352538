"""An update brings what is new, and neither loses nor garbles what a project's owner wrote."""

from __future__ import annotations

import fnmatch
import shutil
import subprocess
import sys
import tomllib
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
import yaml
from combinations import CHOICES, Answers, catalogue_of, each_once, title
from copier.errors import UserMessageError
from living import IGNORED, assert_updated, edit, ignored, is_owners, switches
from rendering import ROOT, copy_template
from repository import (
    EARLIER,
    NEWEST,
    commit,
    copy,
    git,
    releases,
    tag_commit,
    tree,
    update,
    updated_from,
)

from ml_architect.cli import main

PROJECTS = {
    f"{release.version}-{title(answers)}": (release.version, answers)
    for release in updated_from()
    for answers in each_once(catalogue_of(release))
}
"""Every release with few projects, in which each answer occurs."""

BEFORE_THE_FIRST = {
    "0.1.0": "1c71c30480ac903796b2bc7761461d6504d1d269",
    "0.5.0": "0e1f19137e77b2b281d8e33eaefdb0471569a89f",
}
"""Versions that were published before the release history began anew, with their commits."""

ALWAYS = {".copier-answers.yml", "docs/decisions.md"}
"""What says how the project was answered, hence changes with any answer."""

CHANGES = {
    "config": {"pyproject.toml", "src/*/config.py"},
    "tracker": {"pyproject.toml", "src/*/training/tracker.py"},
    "checkpoint": {"src/*/config.py", "src/*/training/retention.py"},
    "checkpoint_writer": {"src/*/config.py", "src/*/training/writer.py"},
    "license": {"pyproject.toml", "LICENSE"},
    "python_version": {"pyproject.toml"},
    # More or fewer steps and checks, and what is said about them; nothing that trains.
    "stage": {
        "pyproject.toml",
        "AGENTS.md",
        "tests/*",
        "configs/*",
        ".pre-commit-config.yaml",
        ".github/*",
        "Dockerfile",
        ".dockerignore",
    },
}
"""What else may change with the answer to a question. Outside of it, nothing does."""


@pytest.fixture(scope="session")
def template(repository: Path) -> Path:
    """The template's repository, with every release and the working tree."""
    return repository


@pytest.mark.slow
@pytest.mark.parametrize(("version", "answers"), PROJECTS.values(), ids=PROJECTS)
def test_a_project_of_any_release_becomes_a_fresh_copy_with_the_owners_edits(
    version: str, answers: Answers, template: Path, tmp_path: Path
) -> None:
    untouched = copy(template, tmp_path / "untouched" / "digits", version, **answers)
    edited = shutil.copytree(untouched, tmp_path / "edited" / "digits")
    edit(edited)
    commit(edited, "Mine")
    fresh = copy(template, tmp_path / "fresh" / "digits", NEWEST, **answers)
    made = tree(untouched)
    for project in (untouched, edited):
        before = tree(project)
        update(project, NEWEST)
        if project is edited:
            edit(fresh)
        assert_updated(tree(project), before, tree(fresh), made)
        assert git(project, "diff", "--name-only", "--diff-filter=U") == ""
    assert ignored(edited) == IGNORED


def test_an_update_to_the_same_version_changes_nothing(template: Path, tmp_path: Path) -> None:
    project = copy(template, tmp_path / "digits", NEWEST)
    update(project, NEWEST)
    assert git(project, "status", "--porcelain") == ""


def test_what_the_owner_deleted_or_renamed_does_not_come_back(
    template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", EARLIER)
    gone = [name for name in tree(project) if is_owners(name)]
    gone += ["src/digits/training/device.py", "AGENTS.md"]
    for name in gone:
        kept = project / "kept" / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        (project / name).rename(kept)
    commit(project, "Nothing is where it was")
    before = tree(project)
    update(project, NEWEST)
    after = tree(project)
    assert [name for name in gone if name in after] == []
    kept = {name for name in before if name.startswith("kept/")}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


@pytest.mark.slow
@pytest.mark.parametrize("version", [EARLIER, *(each.version for each in releases())])
def test_conflicts_appear_only_where_both_sides_changed_the_same_lines(
    version: str, template: Path, tmp_path: Path
) -> None:
    answers = {"stage": "production"}
    old = tree(copy(template, tmp_path / "old" / "digits", version, **answers))
    new = tree(copy(template, tmp_path / "new" / "digits", NEWEST, **answers))
    changed = {
        name: lines_of_the_template(old[name].decode(), new[name].decode())
        for name in old.keys() & new.keys()
        if name.endswith((".py", ".toml", ".yml")) and not is_owners(name) and name not in ALWAYS
    }
    if version == EARLIER:  # a release may be what the working tree still is
        assert any(same for same, _ in changed.values())
    for apart in (True, False):
        project = tmp_path / f"apart-{apart}" / "digits"
        git(tmp_path, "clone", "--quiet", str(tmp_path / "old/digits"), str(project))
        expected: set[str] = set()
        for name, (same, far) in changed.items():
            chosen = far if apart else same
            if chosen:
                lines = old[name].decode().splitlines(keepends=True)
                at = chosen[len(chosen) // 2]
                lines[at] = f"# Mine {name}\n"
                (project / name).write_text("".join(lines), encoding="utf-8")
                expected |= set() if apart else {name}
        commit(project, "Mine")
        update(project, NEWEST)
        conflicting = git(project, "diff", "--name-only", "--diff-filter=U").split("\n")
        assert set(filter(None, conflicting)) == expected
        for name, (same, far) in changed.items():
            if far if apart else same:
                text = (project / name).read_text(encoding="utf-8")
                assert f"# Mine {name}\n" in text
                assert ("<<<<<<<" in text) == (name in expected)


def lines_of_the_template(old: str, new: str) -> tuple[list[int], list[int]]:
    """Numbers of old lines that a version changed, and of those far from any that it touched."""
    a, b = old.splitlines(), new.splitlines()
    parts = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    touched = [(i, j) for kind, i, j, _, _ in parts if kind != "equal"]
    changed = [n for i, j in touched for n in range(i, j)]
    far = [n for n in range(1, len(a)) if all(n < i - 5 or n > j + 5 for i, j in touched)]
    return changed, far


@pytest.mark.slow
@pytest.mark.parametrize(("question", "old", "new"), switches())
def test_one_answer_changes_in_a_living_project(
    question: str, old: str, new: str, template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "old" / "digits", NEWEST, **{question: old})
    made = tree(project)
    edit(project)
    commit(project, "Mine")
    before = tree(project)
    fresh = copy(template, tmp_path / "new" / "digits", NEWEST, **{question: new})
    edit(fresh)

    update(project, NEWEST, **{question: new})

    after = tree(project)
    assert_updated(after, before, tree(fresh), made)
    assert ignored(project) == IGNORED
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    may_change = ALWAYS | CHANGES[question]
    assert {
        name for name in changed if not any(fnmatch.fnmatch(name, each) for each in may_change)
    } == set()
    if question not in {"stage", "license", "python_version"}:
        assert without_dependencies(before) == without_dependencies(after)


def test_it_is_stated_what_changes_with_each_answer() -> None:
    assert CHANGES.keys() == CHOICES.keys() - {"starter"}


@pytest.mark.parametrize("answer", [{"starter": "blank"}, {"package_name": "letters"}], ids=str)
def test_what_the_owners_files_were_written_for_stays(
    answer: dict[str, str], template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", NEWEST)
    before = tree(project)
    (name,) = answer
    with pytest.raises(UserMessageError, match=f"{name} stays '.*' in a living project"):
        update(project, NEWEST, **answer)
    assert tree(project) == before
    assert git(project, "status", "--porcelain") == ""


def without_dependencies(files: dict[str, bytes]) -> dict[str, Any]:
    """What a project's `pyproject.toml` says, its dependency list aside."""
    said = tomllib.loads(files["pyproject.toml"].decode())
    del said["project"]["dependencies"]
    return said


# --- projects from before the first release ------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("version", BEFORE_THE_FIRST)
def test_a_project_from_before_the_first_release_is_refused_in_one_line(
    version: str, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tag_commit(template, version, BEFORE_THE_FIRST[version])
    project = copy(template, tmp_path / "digits", version)
    before = tree(project), git(project, "rev-parse", "HEAD")
    reason = f"this project was made with {version}, and updates begin with 0.6.0. Make a new"
    assert main(["update", str(project), "--yes", "--template", str(template)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(reason)
    assert said.count("\n") == 1
    done = subprocess.run(
        [sys.executable, "-m", "copier", "update", "--trust", "--defaults"],
        cwd=project,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode != 0
    (line,) = (line for line in done.stderr.splitlines() if "this project" in line)
    assert line.startswith(reason)
    assert "Traceback" not in done.stderr
    assert (tree(project), git(project, "rev-parse", "HEAD")) == before
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize("command", ["new", "adopt"])
def test_no_project_is_begun_that_could_never_be_updated(
    command: str, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tag_commit(template, "0.1.0", BEFORE_THE_FIRST["0.1.0"])
    project = tmp_path / "digits"
    if command == "adopt":
        project.mkdir()
        (project / "pyproject.toml").write_text('[project]\nname = "digits"\n', encoding="utf-8")
        git(project, "init", "--quiet")
        for name in ("user.name", "user.email"):
            git(project, "config", name, "ada@host.example")
        commit(project, "Mine")
    before = tree(tmp_path)
    given = [command, str(project), "--defaults", "--version", "v0.1.0"]
    assert main([*given, "--template", str(template)]) == 2
    said = capsys.readouterr().err
    assert "its projects can't be updated. The first version is 0.6.0" in said
    assert said.count("\n") == 1
    assert tree(tmp_path) == before


@pytest.mark.slow
def test_a_template_without_tags_is_used_as_it_is_and_silently(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    template = copy_template(tmp_path / "template")
    commit(template, "Nothing is tagged")
    project = tmp_path / "digits"
    given = ["--template", str(template)]
    assert main(["new", str(project), "--defaults", *given]) == 0
    commit(project, "Start")
    (template / "template/AGENTS.md.jinja").write_text("# Other rules\n", encoding="utf-8")
    commit(template, "Other rules")
    assert main(["update", str(project), "--yes", *given]) == 0
    assert (project / "AGENTS.md").read_text("utf-8") == "# Other rules\n"
    assert capfd.readouterr().err == ""


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
    assert tree(project) == tree(copy(two_versions, tmp_path / "new" / "digits", "2.0.0"))
