"""An update adds new versions' changes and loses nothing that a project's owner wrote."""

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
from living import FIXED, IGNORED, append, assert_updated, edit, ignored, is_owners, switches
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
from test_projects import SMALL, run

from ml_architect.cli import main

PROJECTS = {
    f"{release.version}-{title(answers)}": (release.version, answers)
    for number, release in enumerate(reversed(updated_from()))
    for answers in each_once(catalogue_of(release))[number % 2 :: 2 if number else 1]
}
"""Every release; few projects contain each answer of the last one, and half of them of others."""

BEFORE_THE_FIRST = {
    "0.1.0": "1c71c30480ac903796b2bc7761461d6504d1d269",
    "0.5.0": "0e1f19137e77b2b281d8e33eaefdb0471569a89f",
}
"""Versions before the first one whose projects can be updated, and their commits."""

ANSWERS = ".copier-answers.yml"

CHANGES = {
    "tracker": {"pyproject.toml", "src/*/training/tracker.py"},
    "checkpoint": {"src/*/training/retention.py"},
    "checkpoint_writer": {"src/*/training/writer.py"},
    "devices": {
        "src/*/training/device.py",
        "src/*/training/hardware.py",
        "src/*/training/processes.py",
    },
    "license": {"pyproject.toml", "LICENSE"},
    "python_version": {"pyproject.toml"},
    # No code that trains.
    "stage": {
        "pyproject.toml",
        "AGENTS.md",
        "tests/*",
        "configs/*",
        "scripts/throwaway/*",
        ".pre-commit-config.yaml",
        ".github/*",
        "Dockerfile",
        ".dockerignore",
        "constraints.txt",
        "src/*/export.py",
    },
}
"""The files that may change with the answer to a question, besides the recorded answers."""


@pytest.fixture(scope="session")
def template(repository: Path) -> Path:
    """The template's repository, with every release and the working tree."""
    return repository


@pytest.mark.slow
@pytest.mark.parametrize(("version", "answers"), PROJECTS.values(), ids=PROJECTS)
def test_an_updated_project_is_a_fresh_copy_with_the_owners_changes(
    version: str, answers: Answers, template: Path, tmp_path: Path
) -> None:
    untouched = copy(template, tmp_path / "untouched" / "digits", version, **answers)
    edited = shutil.copytree(untouched, tmp_path / "edited" / "digits")
    edit(edited)
    commit(edited, "Mine")
    fresh = copy(template, tmp_path / "fresh" / "digits", NEWEST, **answers)
    unedited = tree(untouched)
    for project in (untouched, edited):
        before = tree(project)
        update(project, NEWEST)
        if project is edited:
            edit(fresh)
        assert_updated(tree(project), before, tree(fresh), unedited)
        assert git(project, "diff", "--name-only", "--diff-filter=U") == ""
    assert ignored(edited) == IGNORED


def test_an_update_to_the_same_version_changes_nothing(template: Path, tmp_path: Path) -> None:
    project = copy(template, tmp_path / "digits", NEWEST)
    update(project, NEWEST)
    assert git(project, "status", "--porcelain") == ""


def test_files_that_the_owner_renamed_are_not_added_again(template: Path, tmp_path: Path) -> None:
    project = copy(template, tmp_path / "digits", EARLIER)
    renamed = [name for name in tree(project) if is_owners(name)]
    renamed += ["src/digits/training/device.py", "AGENTS.md"]
    for name in renamed:
        kept = project / "kept" / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        (project / name).rename(kept)
    commit(project, "Everything is renamed")
    before = tree(project)
    update(project, NEWEST)
    after = tree(project)
    assert [name for name in renamed if name in after] == []
    kept = {name for name in before if name.startswith("kept/")}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


STEPS = """
from digits import cli
short = ["--training.max-steps=4", "--training.warmup-steps=0", "--training.batch-size=16"]
for command in (
    ["validate"],
    ["train", "--config", "configs/small.toml", *short],
    ["evaluate", "runs/small"],
):
    assert cli.main(command) == 0, command
"""


@pytest.mark.slow
@pytest.mark.parametrize("starter", sorted({*CHOICES["starter"]} - {"image"}))
def test_an_updated_project_runs_with_the_owners_files_as_they_were(
    starter: str, template: Path, tmp_path: Path
) -> None:
    """Of the oldest release, whose files differ most; test_living.py trains one of each release."""
    version = releases()[0].version
    project = copy(template, tmp_path / "digits", version, starter=starter)
    update(project, NEWEST)
    append(project / "configs/small.toml", SMALL.get(starter, ""))
    run(project, "python", "-c", STEPS)
    if starter == "tabular":
        run(project, "python", "-m", "digits.eval.baseline", "runs/small")


@pytest.mark.slow
@pytest.mark.parametrize("version", [EARLIER, updated_from()[-1].version])
def test_conflicts_appear_only_where_both_sides_changed_the_same_lines(
    version: str, template: Path, tmp_path: Path
) -> None:
    answers = {"stage": "production"}
    old = tree(copy(template, tmp_path / "old" / "digits", version, **answers))
    new = tree(copy(template, tmp_path / "new" / "digits", NEWEST, **answers))
    changed = {
        name: lines_of_the_template(old[name].decode(), new[name].decode())
        for name in old.keys() & new.keys()
        if name.endswith((".py", ".toml", ".yml")) and not is_owners(name) and name != ANSWERS
    }
    if version == EARLIER:  # the working tree may be equal to a release
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
    """The indices of the old lines that a version changed, and of those far from any change."""
    a, b = old.splitlines(), new.splitlines()
    operations = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    blocks = [(start, end) for kind, start, end, _, _ in operations if kind != "equal"]
    changed = [line for start, end in blocks for line in range(start, end)]
    far = [
        line
        for line in range(1, len(a))
        if all(line < start - 5 or line > end + 5 for start, end in blocks)
    ]
    return changed, far


@pytest.mark.slow
@pytest.mark.parametrize(("question", "old", "new"), switches())
def test_one_answer_changes_in_a_project_in_use(
    question: str, old: str, new: str, template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "old" / "digits", NEWEST, **{question: old})
    unedited = tree(project)
    edit(project)
    commit(project, "Mine")
    before = tree(project)
    fresh = copy(template, tmp_path / "new" / "digits", NEWEST, **{question: new})
    edit(fresh)

    update(project, NEWEST, **{question: new})

    after = tree(project)
    assert_updated(after, before, tree(fresh), unedited)
    assert ignored(project) == IGNORED
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    patterns = {ANSWERS} | CHANGES[question]
    assert {n for n in changed if not any(fnmatch.fnmatch(n, pattern) for pattern in patterns)} == (
        set()
    )
    if question not in {"stage", "license", "python_version"}:
        assert without_dependencies(before) == without_dependencies(after)


def test_every_question_is_listed_with_what_changes() -> None:
    assert CHANGES.keys() == CHOICES.keys() - FIXED


@pytest.mark.parametrize(
    "answer", [{"starter": "blank"}, {"config": "dataclass"}, {"package_name": "letters"}], ids=str
)
def test_an_answer_that_the_owners_files_depend_on_cannot_be_changed(
    answer: dict[str, str], template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", NEWEST)
    before = tree(project)
    (name,) = answer
    with pytest.raises(UserMessageError, match=f"{name} stays '.*' in an existing project"):
        update(project, NEWEST, **answer)
    assert tree(project) == before
    assert git(project, "status", "--porcelain") == ""


def without_dependencies(files: dict[str, bytes]) -> dict[str, Any]:
    """The content of a project's `pyproject.toml`, without its dependencies."""
    table = tomllib.loads(files["pyproject.toml"].decode())
    del table["project"]["dependencies"]
    return table


# --- projects from before the first release ------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("version", BEFORE_THE_FIRST)
def test_a_project_from_before_the_first_release_is_rejected_in_one_line(
    version: str, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tag_commit(template, version, BEFORE_THE_FIRST[version])
    project = copy(template, tmp_path / "digits", version)
    before = tree(project), git(project, "rev-parse", "HEAD")
    reason = f"this project was made with {version}, and updates begin with 0.6.0. Make a new"
    assert main(["update", str(project), "--yes", "--template", str(template)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(reason)
    assert error.count("\n") == 1
    result = subprocess.run(
        [sys.executable, "-m", "copier", "update", "--trust", "--defaults"],
        cwd=project,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode != 0
    (line,) = (line for line in result.stderr.splitlines() if "this project" in line)
    assert line.startswith(reason)
    assert "Traceback" not in result.stderr
    assert (tree(project), git(project, "rev-parse", "HEAD")) == before
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize("command", ["new", "adopt"])
def test_no_project_is_made_that_could_never_be_updated(
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
    arguments = [command, str(project), "--defaults", "--version", "v0.1.0"]
    assert main([*arguments, "--template", str(template)]) == 2
    error = capsys.readouterr().err
    assert "its projects can't be updated. The first version is 0.6.0" in error
    assert error.count("\n") == 1
    assert tree(tmp_path) == before


# --- the extensions themselves change from version to version -----------------------------------

COPIER: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
EXTENSIONS = [entry for entry in COPIER["_jinja_extensions"] if entry.endswith("Extension")]
"""Each extension as `extensions/noun.py:Class`."""

MARK = """

def _marked(self, environment, original={name}.__init__):
    original(self, environment)
    environment.globals["version_of_{name}"] = "{version}"


{name}.__init__ = _marked
"""


@pytest.fixture(scope="session")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template with two versions of our extensions, which know their version, and one file."""
    template = copy_template(tmp_path_factory.mktemp("two") / "template")
    for name in tree(template / "template"):
        if "answers_file" not in name:
            (template / "template" / name).unlink()
    lines = [f"{{{{ version_of_{entry.partition(':')[2]} }}}}" for entry in EXTENSIONS]
    lines += ["{% for package in project.requirements %}", "{{ package.name }}", "{% endfor %}"]
    (template / "template/rendered.txt.jinja").write_text("\n".join([*lines, ""]), "utf-8")
    sources = {e: (template / e.partition(":")[0]).read_text("utf-8") for e in EXTENSIONS}
    for version in ("1.0.0", "2.0.0"):
        for entry, source in sources.items():
            path, _, name = entry.partition(":")
            source += MARK.format(name=name, version=version)
            if version == "2.0.0":
                source = source.replace(
                    '    requirements=(\n        Requirement("torch"',
                    "    requirements=(\n"
                    '        Requirement("second", ">=2,<3", "only in 2.0.0"),\n'
                    '        Requirement("torch"',
                )
            (template / path).write_text(source, encoding="utf-8")
        commit(template, version, f"v{version}")
    return template


def test_each_version_is_rendered_with_its_own_extensions(
    two_versions: Path, tmp_path: Path
) -> None:
    project = copy(two_versions, tmp_path / "old" / "digits", "1.0.0")
    old = (project / "rendered.txt").read_text(encoding="utf-8").splitlines()
    assert old[: len(EXTENSIONS)] == ["1.0.0"] * len(EXTENSIONS)
    assert "second" not in old

    update(project, "2.0.0")

    new = (project / "rendered.txt").read_text(encoding="utf-8").splitlines()
    assert new[: len(EXTENSIONS)] == ["2.0.0"] * len(EXTENSIONS)
    assert "second" in new
    assert tree(project) == tree(copy(two_versions, tmp_path / "new" / "digits", "2.0.0"))


# --- line ends ------------------------------------------------------------------------------------


def change(file: Path, old: bytes, new: bytes) -> None:
    """Replace a text in a file, byte by byte."""
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))


def with_crlf(project: Path, name: str) -> None:
    """Give a file the line ends of Windows."""
    content = (project / name).read_bytes().replace(b"\r\n", b"\n")
    (project / name).write_bytes(content.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("kind", ["autocrlf", "attributes", "committed"])
def test_an_owners_edit_in_a_file_with_crlf_is_merged_and_keeps_its_line_ends(
    kind: str, template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", EARLIER)
    if kind == "attributes":
        (project / ".gitattributes").write_text("* text=auto eol=crlf\n", encoding="utf-8")
    git(project, "config", "core.autocrlf", "true" if kind == "autocrlf" else "false")
    loop, device = "src/digits/training/loop.py", "src/digits/training/device.py"
    for name in (loop, device):
        with_crlf(project, name)
        first = (project / name).read_bytes().partition(b"\r\n")[0]
        assert EARLIER.encode() in first
        # Beside the template's change, so that a patch is rejected, and Copier merges.
        change(project / name, first + b"\r\n", first + b"\r\n# Mine.\r\n")
        (project / name).write_bytes((project / name).read_bytes() + b"# Mine, too.\r\n")
    change(project / device, EARLIER.encode(), b"mine")
    commit(project, "Mine")

    assert main(["update", str(project), "--yes", "--template", str(template)]) == 1

    assert device in git(project, "diff", "--name-only", "--diff-filter=U").split()
    for name in (loop, device):
        content = (project / name).read_bytes()
        assert content.count(b"\n") == content.count(b"\r\n")
        assert b"# Mine, too.\r\n" in content
        if b"<<<<<<<" in content:
            start, end = content.index(b"<<<<<<<"), content.index(b">>>>>>>")
            assert content[start:end].count(b"\n") < 8, "only the lines that both sides changed"
    untouched = (project / "src/digits/training/checks.py").read_bytes()
    assert (b"\r\n" in untouched) == (kind != "committed")


def test_an_owners_edit_far_from_the_templates_is_merged_without_a_conflict_with_crlf(
    template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", EARLIER)
    git(project, "config", "core.autocrlf", "true")
    files = [path for path in project.rglob("*.py") if path.name != "__init__.py"]
    for path in files:
        with_crlf(project, path.relative_to(project).as_posix())
        path.write_bytes(path.read_bytes() + b"# Mine.\r\n")
    commit(project, "Mine")
    assert main(["update", str(project), "--yes", "--template", str(template)]) == 0
    for path in files:
        content = path.read_bytes()
        assert content.count(b"\n") == content.count(b"\r\n"), path
    assert b"# Mine.\r\n" in (project / "src/digits/training/loop.py").read_bytes()
    added = git(project, "diff", "HEAD", "--stat", "--", "src/digits/training/loop.py")
    assert "2 +-" in added
