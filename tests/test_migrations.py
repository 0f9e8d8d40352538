"""Migrations keep answers, moved files and the owner's files that an update alone would lose."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from combinations import CATALOGUE, catalogue_of
from history import HISTORY, MovedFile, RemovedFile, RemovedOption, RenamedQuestion
from rendering import ROOT, copy_template
from repository import NOBODY, Release, commit, copy, git, tree, updated_from

from ml_architect.cli import main

pytestmark = pytest.mark.slow

BREAKING = """
HISTORY: tuple[Migration, ...] = (
    RenamedQuestion(since="2.0.0", old="author_email", new="contact"),
    RemovedOption(
        since="2.0.0",
        question="tracker",
        option="trackio",
        instead="tensorboard",
        why="it is no longer maintained",
    ),
    MovedFile(
        since="2.0.0",
        old="src/{package_name}/training/device.py",
        new="src/{package_name}/training/accelerator.py",
    ),
    *(
        LeftOutFile(since="2.0.0", path=path, question="stage", answer="exploration")
        for path in ("src/{package_name}/errors.py", "src/{package_name}/training/optimizer.py")
    ),
)
"""
LEFT_OUT = """
  - "{% if stage == 'exploration' %}/src/*/errors.py{% endif %}"
  - "{% if stage == 'exploration' %}/src/*/training/optimizer.py{% endif %}"
"""
DEVICE = "src/digits/training/device.py"
ACCELERATOR = "src/digits/training/accelerator.py"
ANSWERS = ".copier-answers.yml"


def replace(folder: Path, pattern: str, text: str, *globs: str) -> None:
    """Replace every match of a pattern in the files that match one of the globs."""
    changed = 0
    for name, content in tree(folder).items():
        if any(fnmatch.fnmatch(name, glob) for glob in globs):
            new, count = re.subn(pattern, text, content.decode(), flags=re.MULTILINE)
            (folder / name).write_text(new, encoding="utf-8")
            changed += count
    assert changed, f"nothing matches {pattern}"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree as 1.0.0, and a version 2.0.0 with each kind of breaking change."""
    template = copy_template(tmp_path_factory.mktemp("breaking") / "template")
    replace(template, r'^version = ".*"', 'version = "1.0.0"', "pyproject.toml")
    commit(template, "1.0.0", "v1.0.0")
    package = template / "template/src/{{ package_name }}"
    (package / "training/device.py.jinja").rename(package / "training/accelerator.py.jinja")
    (template / "choices/tracker/trackio.py").unlink()
    (template / "template/configs/wide.toml").write_text("# Yours: wider.\n", encoding="utf-8")
    asked = ("copier.yml", "extensions/*", "template/*", "choices/license/*")
    replace(template, r"\bauthor_email\b", "contact", *asked)
    replace(template, r"\bdevice import\b", "accelerator import", "template/src/*", "choices/*")
    replace(template, r"^_exclude:\n", "_exclude:" + LEFT_OUT, "copier.yml")
    replace(template, r"\A", "# A line that is new.\n", "*/training/accelerator.py.jinja")
    catalogue = "extensions/catalogue.py"
    fewer = 'FEWER = Question("tracker", "jsonl", TRACKER.help, *TRACKER.options[:-1])\n\n'
    replace(template, r"^(?=CATALOGUE = )", fewer, catalogue)
    replace(template, "CONFIG, TRACKER, CHECKPOINT,", "CONFIG, FEWER, CHECKPOINT,", catalogue)
    replace(template, r"(?s)\nHISTORY: .*", BREAKING, "migrations/history.py")
    replace(template, r'^version = ".*"', 'version = "2.0.0"', "pyproject.toml")
    replace(template, r"\A# Changelog\n", "# Changelog\n\n## 2.0.0 — d\n\nNames.\n", "CHANGELOG.md")
    commit(template, "2.0.0", "v2.0.0")
    return template


def make_project(template: Path, folder: Path) -> Path:
    """A project of the old version with a removed option, and with changes of its owner's."""
    answers = {"tracker": "trackio", "author_email": "ada@host.example"}
    project = copy(template, folder, "1.0.0", **answers)
    (project / DEVICE).write_text(
        (project / DEVICE).read_text("utf-8") + "\nMINE = 1\n", encoding="utf-8"
    )
    (project / DEVICE).chmod(0o755)
    commit(project, "Mine")
    return project


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A project of the old version."""
    return make_project(template, tmp_path / "digits")


@pytest.fixture(scope="session")
def updated(template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project after the update, and the output. Tests don't change it."""
    project = make_project(template, tmp_path_factory.mktemp("updated") / "digits")
    return project, copier_update(project)


def copier_update(project: Path, *arguments: str) -> str:
    """Update with Copier's command line. Returns its output."""
    result = subprocess.run(
        [sys.executable, "-m", "copier", "update", "--trust", "--defaults", *arguments],
        cwd=project,
        env={**os.environ, **NOBODY},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def recorded(project: Path) -> dict[str, Any]:
    """The project's answers."""
    return yaml.safe_load((project / ANSWERS).read_text(encoding="utf-8"))


# --- each kind of change ------------------------------------------------------------------------


def test_a_renamed_question_keeps_its_answer_and_a_removed_option_is_replaced(
    updated: tuple[Path, str],
) -> None:
    project, output = updated
    answers = recorded(project)
    assert answers["contact"] == "ada@host.example"
    assert "author_email" not in answers
    assert answers["tracker"] == "tensorboard"
    assert "TensorBoard" in (project / "src/digits/training/tracker.py").read_text("utf-8")
    assert "ada@host.example" in (project / "pyproject.toml").read_text("utf-8")
    assert "author_email was renamed to contact in 2.0.0" in output
    assert "replaced by tensorboard: it is no longer maintained" in output


def test_an_answer_given_with_the_update_overrides_the_replacement(project: Path) -> None:
    copier_update(project, "--data", "tracker=mlflow")
    assert recorded(project)["tracker"] == "mlflow"


def test_a_moved_file_keeps_its_owners_changes_and_stays_executable(
    updated: tuple[Path, str], template: Path, tmp_path: Path
) -> None:
    project, output = updated
    fresh = copy(template, tmp_path / "fresh" / "digits", "2.0.0")
    assert not (project / DEVICE).exists()
    assert (project / ACCELERATOR).read_text("utf-8") == (fresh / ACCELERATOR).read_text(
        "utf-8"
    ) + "\nMINE = 1\n"
    assert os.access(project / ACCELERATOR, os.X_OK)
    assert f"{DEVICE} was moved to {ACCELERATOR}, with your changes" in output
    assert git(project, "diff", "--name-only", "--diff-filter=U") == ""


def test_a_moved_file_conflicts_only_if_both_sides_changed_the_same_lines(
    project: Path, capfd: pytest.CaptureFixture[str], template: Path
) -> None:
    mine = "# My own first line.\n" + (project / DEVICE).read_text("utf-8")
    (project / DEVICE).write_text(mine, encoding="utf-8")
    commit(project, "Mine too")
    assert main(["update", str(project), "--yes", "--template", str(template)]) == 1
    text = (project / ACCELERATOR).read_text("utf-8")
    assert "<<<<<<< before updating\n# My own first line.\n" in text
    assert text.count("<<<<<<<") == 1
    assert text.endswith("\nMINE = 1\n")
    assert git(project, "diff", "--name-only", "--diff-filter=U").split() == [ACCELERATOR]
    output = capfd.readouterr().out
    assert f"conflict  {ACCELERATOR}" in output
    assert f"<<<<<<< in {ACCELERATOR}" in output


def test_a_moved_file_that_its_owner_has_not_changed_is_moved_without_a_message(
    template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", "1.0.0")
    output = copier_update(project)
    assert DEVICE not in output
    fresh = tree(copy(template, tmp_path / "fresh" / "digits", "2.0.0"))
    assert tree(project) == fresh


def test_a_moved_file_is_kept_if_the_owner_has_a_file_at_the_new_path(project: Path) -> None:
    (project / ACCELERATOR).write_text("MINE = 2\n", encoding="utf-8")
    commit(project, "A file of my own")
    output = copier_update(project)
    assert "MINE = 2" in (project / ACCELERATOR).read_text("utf-8")
    assert (project / DEVICE).read_text("utf-8").endswith("\nMINE = 1\n")
    assert f"kept {DEVICE}" in output


def test_a_new_file_of_the_owners_is_created_once(
    updated: tuple[Path, str], tmp_path: Path
) -> None:
    original, output = updated
    project = shutil.copytree(original, tmp_path / "digits")
    assert (project / "configs/wide.toml").read_text("utf-8") == "# Yours: wider.\n"
    assert "created configs/wide.toml: yours from now on" in output
    commit(project, "Updated")
    (project / "configs/wide.toml").unlink()
    (project / "configs/small.toml").unlink()
    commit(project, "I don't want them")
    assert "created" not in copier_update(project, "--data", "tracker=wandb")
    assert not (project / "configs/wide.toml").exists()
    assert not (project / "configs/small.toml").exists()


def test_the_command_reports_each_migration_once(
    project: Path, template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["update", str(project), "--yes", "--template", str(template)]) == 0
    output = capsys.readouterr().out
    assert output.count("author_email was renamed to contact") == 1
    assert output.count("with your changes") == 1
    assert output.count("created configs/wide.toml") == 1
    assert (project / ACCELERATOR).read_text("utf-8").endswith("\nMINE = 1\n")


# --- repeated, and in a subfolder ---------------------------------------------------------------


@pytest.mark.parametrize("same_lines", [False, True], ids=["merged", "in conflict"])
def test_a_migration_that_runs_again_changes_nothing(
    same_lines: bool, updated: tuple[Path, str], template: Path, tmp_path: Path
) -> None:
    if same_lines:
        project = make_project(template, tmp_path / "digits")
        mine = "# My own first line.\n" + (project / DEVICE).read_text("utf-8")
        (project / DEVICE).write_text(mine, encoding="utf-8")
        commit(project, "Mine too")
        copier_update(project)
    else:
        project = shutil.copytree(updated[0], tmp_path / "digits")
    git(template, "checkout", "--quiet", "v2.0.0")
    before = tree(project)
    for stage in ("before", "after"):
        result = subprocess.run(
            [sys.executable, template / "migrations", stage, template],
            cwd=project,
            env={**os.environ, "VERSION_FROM": "v1.0.0", "VERSION_TO": "v2.0.0"},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        assert result.stdout == ""
    assert tree(project) == before


def test_a_project_in_a_subfolder_of_a_repository_is_migrated(
    project: Path, template: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outer = project.parent / "outer"
    (outer / "apps").mkdir(parents=True)
    (outer / "README.md").write_text("Everything.\n", encoding="utf-8")
    (project / ".git").rename(project.parent / "lost")
    inner = project.rename(outer / "apps/digits")
    commit(outer, "All")
    assert main(["update", str(inner), "--yes", "--template", str(template)]) == 0
    assert re.search(rf"new +{ACCELERATOR}", capsys.readouterr().out)
    assert (inner / ACCELERATOR).read_text("utf-8").endswith("\nMINE = 1\n")
    assert recorded(inner)["contact"] == "ada@host.example"
    assert not (outer / "src").exists()


# --- bytes, modes, and files that the owner has taken over --------------------------------------

APPENDED, CONFLICTING, BINARY, WINDOWS = (
    f"src/digits/training/{name}.py" for name in ("checkpoint", "loop", "run", "checks")
)


@pytest.fixture(scope="session")
def later(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with a version 3.0.0, which only changes the first line of some files."""
    later = tmp_path_factory.mktemp("later") / "template"
    git(template, "clone", "--quiet", str(template), str(later))
    git(later, "checkout", "--quiet", "v1.0.0")
    for path in (APPENDED, CONFLICTING, BINARY, WINDOWS):
        replace(later, r"\A(.*)\n", r"\1 Since 3.0.0.\n", f"*/training/{Path(path).name}")
    replace(later, r'^version = ".*"', 'version = "3.0.0"', "pyproject.toml")
    commit(later, "3.0.0", "v3.0.0")
    return later


@dataclass
class Bytes:
    """A project with files that aren't UTF-8 text, after the update to 3.0.0."""

    project: Path
    before: dict[str, bytes]
    after: dict[str, bytes]
    output: str


@pytest.fixture(scope="session")
def mixed(later: Path, tmp_path_factory: pytest.TempPathFactory) -> Bytes:
    """Files that aren't UTF-8, one of them executable; one with a zero byte; other line endings."""
    project = copy(later, tmp_path_factory.mktemp("bytes") / "digits", "1.0.0")
    files = tree(project)
    head, rest = first_line(files[BINARY]), files[BINARY].partition(b"\n")[2]
    for name, content in {
        APPENDED: files[APPENDED] + b"# Caf\xe9 \xff\n",
        CONFLICTING: files[CONFLICTING].replace(b"\n", b" Caf\xe9.\n", 1),
        BINARY: head + b"\n# \0\n" + rest,  # git checks only the beginning
        WINDOWS: files[WINDOWS] + b"# Mine.\r\n# Mine, too.\r\n",
    }.items():
        (project / name).write_bytes(content)
    (project / APPENDED).chmod(0o755)
    commit(project, "Mine, in latin-1, with a zero byte, from Windows")
    before = tree(project)
    output = copier_update(project)
    return Bytes(project, before, tree(project), output)


def first_line(content: bytes) -> bytes:
    """The first line, without its line ending."""
    return content.partition(b"\n")[0]


def test_bytes_that_are_not_utf_8_are_preserved_if_the_template_changes_other_lines(
    mixed: Bytes,
) -> None:
    expected = mixed.before[APPENDED].replace(b"\n", b" Since 3.0.0.\n", 1)
    assert mixed.after[APPENDED] == expected
    assert os.access(mixed.project / APPENDED, os.X_OK)
    assert mixed.output.count(f"{APPENDED} isn't UTF-8") == 1


def test_bytes_that_are_not_utf_8_can_conflict(mixed: Bytes) -> None:
    mine, merged = mixed.before[CONFLICTING], mixed.after[CONFLICTING]
    assert b"<<<<<<< before updating\n" + first_line(mine) + b"\n" in merged
    assert merged.count(b"<<<<<<<") == 1
    conflicts = git(mixed.project, "diff", "--name-only", "--diff-filter=U").split()
    assert conflicts == [CONFLICTING]
    mine_in_index = subprocess.run(
        ["git", "show", f":2:{CONFLICTING}"], cwd=mixed.project, capture_output=True, check=True
    )
    assert mine_in_index.stdout == mine


def test_a_file_with_zero_bytes_is_not_changed(mixed: Bytes) -> None:
    assert mixed.after[BINARY] == mixed.before[BINARY]
    assert f"kept your version of {BINARY}" in mixed.output


def test_line_endings_of_the_owner_are_preserved(mixed: Bytes) -> None:
    expected = mixed.before[WINDOWS].replace(b"\n", b" Since 3.0.0.\n", 1)
    assert mixed.after[WINDOWS] == expected


def test_a_file_that_its_owner_took_over_is_not_moved(
    template: Path, project: Path, tmp_path: Path
) -> None:
    copier_update(project, "--vcs-ref", "v1.0.0", "--data", f"yours=[{DEVICE}]")
    commit(project, "It is mine")
    mine = (project / DEVICE).read_bytes()
    output = copier_update(project)
    assert (project / DEVICE).read_bytes() == mine
    assert not (project / ACCELERATOR).exists()
    assert f"{DEVICE} is yours and stays; the template moved it to {ACCELERATOR}" in output
    commit(project, "Updated")
    copier_update(project, "--data", "tracker=wandb")
    assert not (project / ACCELERATOR).exists()


def test_a_deleted_file_is_not_added_again_under_another_name(
    project: Path,
) -> None:
    (project / DEVICE).unlink()
    commit(project, "I don't want it")
    output = copier_update(project)
    assert not (project / DEVICE).exists()
    assert not (project / ACCELERATOR).exists()
    assert f"{DEVICE} was deleted by you" in output


LOOP = "src/digits/training/loop.py"


def test_skipped_changes_to_a_file_that_its_owner_took_over_can_be_shown(
    later: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = copy(later, tmp_path / "digits", "1.0.0")
    yours = f"yours=[{LOOP}, src/digits/lop.py]"
    copier_update(project, "--vcs-ref", "v1.0.0", "--data", yours)
    commit(project, "The loop is mine")
    mine = (project / LOOP).read_bytes()
    capfd.readouterr()
    assert main(["update", str(project), "--yes", "--template", str(later)]) == 0
    output = capfd.readouterr().out
    assert "yours: the template has no src/digits/lop.py" in output
    match = re.search(rf"yours, not updated: {LOOP}; .*: git (diff \w+ \w+)", output)
    assert match
    assert "Since 3.0.0." in git(project, *match[1].split())
    assert (project / LOOP).read_bytes() == mine


@pytest.mark.parametrize("answer", ["starter=blank", "package_name=mine", "tracker=nonsense"])
def test_a_refused_update_does_not_change_recorded_answers(answer: str, project: Path) -> None:
    before = tree(project)
    result = subprocess.run(
        [sys.executable, "-m", "copier", "update", "--trust", "--defaults", "--data", answer],
        cwd=project,
        env={**os.environ, **NOBODY},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode != 0
    assert "Nothing was" in result.stderr
    assert "Traceback" not in result.stderr
    assert tree(project) == before
    assert git(project, "status", "--porcelain") == ""


# --- files that an answer removes ---------------------------------------------------------------

TESTS = "tests/test_data.py"


def test_a_file_that_an_answer_removes_is_kept_if_its_owner_changed_it(
    template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", "1.0.0")
    mine = (project / TESTS).read_text("utf-8") + "\n\ndef test_mine() -> None:\n    pass\n"
    (project / TESTS).write_text(mine, encoding="utf-8")
    commit(project, "Mine")
    output = copier_update(project, "--data", "stage=exploration", "--vcs-ref", "v1.0.0")
    assert (project / TESTS).read_text("utf-8") == mine
    assert not (project / "tests/test_configs.py").exists()
    assert f"kept {TESTS}" in output


OPTIMIZER, ERRORS = "src/digits/training/optimizer.py", "src/digits/errors.py"


def test_a_file_that_a_later_version_excludes_is_deleted_unless_its_owner_changed_it(
    template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", "1.0.0", stage="exploration")
    mine = (project / OPTIMIZER).read_text("utf-8") + "\n\nMINE = 1\n"
    (project / OPTIMIZER).write_text(mine, encoding="utf-8")
    commit(project, "Mine")
    output = copier_update(project)
    assert f"kept {OPTIMIZER}: the template has removed it, but you had changed it" in output
    assert (project / OPTIMIZER).read_text("utf-8") == mine
    assert not (project / ERRORS).exists()
    commit(project, "Updated")
    assert "kept" not in copier_update(project, "--data", "tracker=tensorboard"), "it is mine now"
    assert (project / OPTIMIZER).read_text("utf-8") == mine


# --- nothing that was released is lost ----------------------------------------------------------


def old_names(kind: type[Any], get: Callable[[Any], str]) -> set[str]:
    """Old names in the history's entries of one kind."""
    return {get(entry) for entry in HISTORY if isinstance(entry, kind)}


for_each_release = pytest.mark.parametrize(
    "release", updated_from(), ids=lambda release: release.version
)


@for_each_release
def test_no_question_of_a_release_is_lost(release: Release, repository: Path) -> None:
    before = yaml.safe_load(git(repository, "show", f"v{release.version}:copier.yml"))
    now = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
    questions = {name for name in before if not name.startswith("_")}
    assert questions - now.keys() <= old_names(RenamedQuestion, lambda entry: entry.old)


@for_each_release
def test_no_option_of_a_release_is_lost(release: Release) -> None:
    names = {entry.old: entry.new for entry in HISTORY if isinstance(entry, RenamedQuestion)}
    before = {
        f"{names.get(q.name, q.name)} {value}"
        for q in catalogue_of(release).questions
        for value in q.values
    }
    now = {f"{q.name} {value}" for q in CATALOGUE.questions for value in q.values}
    removed = old_names(RemovedOption, lambda entry: f"{entry.question} {entry.option}")
    assert before - now <= removed


@for_each_release
def test_no_file_of_a_release_is_lost(release: Release, repository: Path) -> None:
    command = ("ls-tree", "-r", "--name-only", f"v{release.version}", "template")
    listed = git(repository, *command).splitlines()
    before = {path.removeprefix("template/").removesuffix(".jinja") for path in listed}
    paths = (ROOT / "template").rglob("*")
    now = {p.relative_to(ROOT / "template").as_posix().removesuffix(".jinja") for p in paths}
    moved = old_names(MovedFile, lambda entry: entry.old.replace("{", "{{ ").replace("}", " }}"))
    removed = old_names(
        RemovedFile, lambda entry: entry.path.replace("{", "{{ ").replace("}", " }}")
    )
    assert before - now <= moved | removed
