"""No command writes through a link, into another repository, or beside another update."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from repository import EARLIER, NEWEST, commit, copy, git, tree
from test_adopt import FILES, write

from ml_architect.cli import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there"),
]

RUN = "import sys; from ml_architect.cli import main; sys.exit(main())"
LOOP = "src/digits/training/loop.py"


@pytest.fixture(scope="session")
def template(repository: Path) -> Path:
    """The template's repository, with every release and the working tree."""
    return repository


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A project of the earlier version, committed."""
    return copy(template, tmp_path / "digits", EARLIER, stage="exploration")


@pytest.fixture
def run(template: Path) -> Callable[..., int]:
    """Runs a command with the test's template."""

    def command(*arguments: str | Path) -> int:
        return main([*map(str, arguments), "--template", str(template)])

    return command


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder outside of the project."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "mine.txt").write_text("Mine.\n", encoding="utf-8")
    return folder


def link(path: Path, target: Path) -> None:
    """Replace a file or a folder, if there is one, by a link to it elsewhere."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
        shutil.rmtree(path)
    elif path.is_file():
        path.rename(target)
    path.symlink_to(target)


def add_submodule(project: Path, outside: Path, name: str) -> None:
    """Replace a folder by a submodule with the same files."""
    link(project / name, outside / "submodule")
    (project / name).unlink()
    commit(outside / "submodule", "Theirs")
    commit(project, "Without")
    allowed = ("-c", "protocol.file.allow=always")
    git(project, *allowed, "submodule", "add", "--quiet", str(outside / "submodule"), name)


# --- update -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["configs/scale.toml", "configs"])
@pytest.mark.parametrize("option", ["--preview", "--yes"])
def test_an_owners_file_is_not_created_through_a_link(
    name: str,
    option: str,
    run: Any,
    project: Path,
    outside: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    link(project / name, outside / "elsewhere")
    commit(project, "A link")
    before, links = tree(outside), tree(project)
    assert run("update", project, option, "--data", "stage=prototype") == 0
    assert f"not created: configs/scale.toml, since {name} is a link" in capsys.readouterr().out
    assert tree(outside) == before
    assert (project / name).is_symlink()
    if option == "--preview":
        assert tree(project) == links


@pytest.mark.parametrize("name", ["AGENTS.md", LOOP, "src/digits/training", "src", "tests"])
def test_links_in_the_way_are_named_before_anything_is_written_and_can_be_left_alone(
    name: str, run: Any, template: Path, tmp_path: Path, outside: Path, capsys: Any
) -> None:
    project = copy(template, tmp_path / "digits", EARLIER)
    link(project / name, outside / "elsewhere")
    commit(project, "A link")
    before, outer = tree(project), tree(outside)
    for option in ("--preview", "--yes"):
        assert run("update", project, option) == 2
        error = capsys.readouterr().err
        assert f"nothing was written, because {name} is a link, where the template has" in error
        assert f"--data 'yours=[{name}]'" in error
        assert error.count("\n") == 1
    assert (tree(project), tree(outside)) == (before, outer)
    assert git(project, "status", "--porcelain") == ""
    assert run("update", project, "--yes", "--data", f"yours=[{name}]") == 0
    assert tree(outside) == outer
    assert (project / name).is_symlink()
    assert f"yours, not updated: {name}" in capsys.readouterr().out


def test_every_link_in_the_way_is_named_at_once_beside_what_is_recorded(
    run: Any, project: Path, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (".gitignore", "src/digits/eval", LOOP):
        link(project / name, outside / Path(name).name)
    commit(project, "Links")
    assert run("update", project, "--yes", "--data", "yours=[.gitignore]") == 2
    error = capsys.readouterr().err
    for part in ("src/digits/eval is a link", f"{LOOP} is a link", "yours=[.gitignore, src/digits"):
        assert part in error


def test_linked_data_and_configs_of_the_owners_stay_as_they_are(
    run: Any, template: Path, tmp_path: Path, outside: Path
) -> None:
    project = copy(template, tmp_path / "digits", EARLIER, starter="blank")
    for name in ("data", "configs/small.toml", "src/digits/settings.py", "README.md"):
        link(project / name, outside / Path(name).name)
    commit(project, "Links")
    before = tree(outside)
    assert run("update", project, "--yes") == 0
    assert tree(outside) == before
    assert (project / "data").is_symlink()
    assert (project / "src/digits/settings.py").is_symlink()


@pytest.mark.parametrize("target", ["answers.yml", "missing.yml"])
def test_linked_answers_are_refused_in_one_line(
    target: str, run: Any, project: Path, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link(project / ".copier-answers.yml", outside / "answers.yml")
    commit(project, "A link")
    (outside / "answers.yml").rename(outside / target)
    if target == "answers.yml":
        assert run("update", project, "--yes") == 2
        assert ".copier-answers.yml is a link or another kind of file" in capsys.readouterr().err
    before = tree(outside)
    assert run("update", project, "--yes") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert tree(outside) == before


def test_an_ignored_link_stays(run: Any, project: Path, outside: Path) -> None:
    with (project / ".gitignore").open("a", encoding="utf-8") as file:
        file.write("/AGENTS.md\n/tests/conftest.py\n")
    commit(project, "Ignored")
    link(project / "AGENTS.md", outside / "elsewhere")
    link(project / "tests/conftest.py", outside / "mine.txt")
    before = tree(outside)
    assert run("update", project, "--yes", "--data", "stage=prototype") == 0
    assert tree(outside) == before
    assert (project / "AGENTS.md").is_symlink()


@pytest.mark.parametrize(
    ("name", "make"), [("src/digits/training", "is a file"), (LOOP, "is a folder")]
)
def test_a_file_for_a_folder_and_a_folder_for_a_file_are_named(
    name: str, make: str, run: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / name
    path.rename(project / "kept")
    if make == "is a file":
        path.touch()
    else:
        path.mkdir()
        (path / "mine.py").touch()
    commit(project, "Mine")
    before = tree(project)
    assert run("update", project, "--yes") == 2
    error = capsys.readouterr().err
    assert f"{name} {make}, where the template has {LOOP}" in error or name in error
    assert error.count("\n") == 1
    assert tree(project) == before


# --- other repositories -------------------------------------------------------------------------


@pytest.mark.parametrize("initialized", [True, False])
def test_a_submodule_in_the_way_is_named_and_can_be_left_alone(
    initialized: bool, run: Any, project: Path, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "src/digits/training"
    add_submodule(project, outside, name)
    commit(project, "A submodule")
    if not initialized:
        git(project, "submodule", "--quiet", "deinit", "--force", name)
    before, outer = tree(project), tree(outside)
    for option in ("--preview", "--yes"):
        assert run("update", project, option) == 2
        assert f"{name} is a repository of its own" in capsys.readouterr().err
    assert tree(project) == before
    assert run("update", project, "--yes", "--data", f"yours=[{name}]") == 0
    assert tree(outside) == outer
    inside = {path: text for path, text in before.items() if path.startswith(f"{name}/")}
    after = tree(project)
    assert {path: text for path, text in after.items() if path.startswith(f"{name}/")} == inside
    assert name not in git(project, "status", "--porcelain")


def test_a_submodule_elsewhere_a_nested_repository_and_a_worktree_stay(
    run: Any, project: Path, outside: Path
) -> None:
    (outside / "library").mkdir()
    (outside / "library/a.py").touch()
    shutil.copytree(outside / "library", project / "vendor")
    commit(project, "A library")
    add_submodule(project, outside, "vendor")
    with (project / ".gitignore").open("a", encoding="utf-8") as file:
        file.write("/tests/\n/trees/\n")
    commit(project, "A submodule")
    git(project, "worktree", "add", "--quiet", "-b", "other", "trees/other")
    (project / "tests").mkdir(exist_ok=True)
    commit(project / "tests", "A repository of its own")
    (project / "tests/conftest.py").write_text("mine = 1\n", encoding="utf-8")
    before = {
        name: text for name, text in tree(project).items() if name.startswith(("t", "vendor"))
    }
    assert run("update", project, "--yes", "--data", "stage=prototype") == 0
    after = {name: text for name, text in tree(project).items() if name.startswith(("t", "vendor"))}
    assert after == before


def test_a_project_in_a_worktree_is_updated_alone(run: Any, project: Path, tmp_path: Path) -> None:
    before = tree(project)
    git(project, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "other"))
    assert run("update", tmp_path / "other", "--yes") == 0
    assert tree(project) == before
    assert tree(tmp_path / "other") != before


# --- new and adopt ------------------------------------------------------------------------------


def test_a_dangling_link_is_no_destination_of_new(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").symlink_to(tmp_path / "outside")
    assert run("new", tmp_path / "made", "--defaults") == 2
    assert "made is a link" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize(
    "name", ["pyproject.toml", ".gitignore", "configs", "src", "src/spam_finder/data"]
)
def test_adopt_names_a_link_in_the_way(
    name: str, run: Any, tmp_path: Path, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write(tmp_path / "spam", FILES)
    link(project / name, outside / "elsewhere")
    commit(project, "A link")
    before = tree(outside), tree(project)
    assert run("adopt", project, "--defaults") == 2
    error = capsys.readouterr().err
    assert f"{name} is a link" in error
    assert error.count("\n") == 1
    assert (tree(outside), tree(project)) == before
    assert git(project, "branch", "--list", "ml-architect") == ""


def test_adopt_leaves_a_submodule_alone(
    run: Any, tmp_path: Path, outside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write(tmp_path / "spam", FILES)
    add_submodule(project, outside, "configs")
    commit(project, "A submodule")
    assert run("adopt", project, "--defaults") == 2
    assert "configs is a repository of its own" in capsys.readouterr().err
    assert git(project, "branch", "--list", "ml-architect") == ""


# --- two updates, and killed ones ---------------------------------------------------------------


def test_a_second_update_of_a_project_is_refused_in_one_line(
    run: Any, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []

    def confirm(_: str) -> bool:
        codes.append(run("update", project, "--yes"))
        return True

    monkeypatch.setattr("ml_architect.generate.update.confirm", confirm)
    assert run("update", project) == 0
    assert codes == [2]
    error = capsys.readouterr().err
    assert f"another update of {project} is running" in error
    assert error.count("\n") == 1


def test_the_clones_of_a_killed_update_are_removed_by_the_next_one(
    template: Path, project: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (temporary / "ml-architect-mine").mkdir()  # not the tool's, since it has no lock
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", RUN, "update", str(project), "--template", str(template)]
    killed = subprocess.Popen([*command, "--yes"], env=environment, start_new_session=True)
    while killed.poll() is None and not any(temporary.glob("ml-architect-*/copier*/*")):
        pass
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert len(list(temporary.iterdir())) > 1
    subprocess.run([*command, "--preview"], env=environment, check=True)
    assert [path.name for path in temporary.iterdir()] == ["ml-architect-mine"]


def test_an_update_in_progress_keeps_its_clone_while_another_project_is_updated(
    run: Any, template: Path, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copy(template, tmp_path / "other" / "digits", EARLIER)

    def confirm(_: str) -> bool:
        assert main(["update", str(other), "--yes", "--template", str(template)]) == 0
        return True

    monkeypatch.setattr("ml_architect.generate.update.confirm", confirm)
    assert run("update", project) == 0
    assert f"v{NEWEST}" in (project / ".copier-answers.yml").read_text(encoding="utf-8")


# --- files that the owner moved -----------------------------------------------------------------


def test_a_file_that_was_moved_or_deleted_is_named_with_what_the_template_changed(
    run: Any, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = copy(template, tmp_path / "work/digits", EARLIER)
    (project / "src/digits/training/device.py").rename(project / "src/digits/hardware.py")
    (project / "src/digits/training/checks.py").unlink()
    commit(project, "Mine")
    before = tree(project)
    assert run("update", project, "--preview") == 0
    output = capsys.readouterr().out
    assert "you deleted, so not updated: src/digits/training/checks.py" in output
    note, _, command = output.partition("what the template changed: ")[2].partition("\n")
    assert "src/digits/training/device.py is src/digits/hardware.py here" in output
    assert note.startswith("git diff ")
    assert EARLIER in git(project, *note.split()[1:])
    assert tree(project) == before
    assert run("update", project, "--yes") == 0
    assert not (project / "src/digits/training/device.py").exists()
    assert command
