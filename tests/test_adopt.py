"""`adopt` adds the template's files to an existing project on a branch, and changes no line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml
from combinations import CATALOGUE
from rendering import ROOT
from repository import EARLIER, NEWEST, commit, copy, git, tree
from test_interactive import answer, in_a_terminal, start_in_terminal
from test_projects import ENVIRONMENT, run

from ml_architect.cli import main
from ml_architect.generate.existing import read_existing
from ml_architect.generate.manifest import add_missing, add_missing_lines
from ml_architect.generate.requirements import read_requirements

MANIFEST = """\
# Ours since 2023.
[project]
name = "spam-finder"
version = "1.2.3"
description = "Finds  spam."
readme = "README.rst"
requires-python = ">=3.12"
license = "Apache-2.0"
authors = [{name = "Ada", email = "ada@host.example"}, {name = "Bob"}]
dependencies = ["torch==2.13.0", "Matplotlib"]  # as they run here

[project.scripts]
spam = "spam_finder.run:main"

[tool.ruff]
line-length = 88
"""

FILES = {
    "pyproject.toml": MANIFEST,
    "README.rst": "Spam\n====\n",
    "LICENSE.txt": "Ours.\n",
    ".gitignore": "__pycache__/\nruns\n",
    "src/spam_finder/__init__.py": '"""Ours."""\n',
    "src/spam_finder/run.py": "def main() -> None:\n    pass\n",
    "tests/test_run.py": "def test_ours() -> None:\n    pass\n",
    "configs/ours.yaml": "a: 1\n",
}


@pytest.fixture(scope="session")
def template(repository: Path) -> Path:
    """The template's repository, with every release and the working tree."""
    return repository


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files into a folder, and commit them."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    for name in ("user.name", "user.email"):
        git(folder, "config", name, "ada@host.example")
    commit(folder, "Ours")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that doesn't use the template."""
    return write(tmp_path / "spam", FILES)


@pytest.fixture
def adopt(template: Path) -> Any:
    """Runs the command with the test's template."""

    def command(project: Path, *arguments: str) -> int:
        options = ["adopt", str(project), "--defaults", "--template", str(template)]
        return main([*options, *arguments])

    return command


def recorded(project: Path) -> dict[str, Any]:
    """The project's answers."""
    return yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))


def test_answers_are_read_from_pyproject(project: Path) -> None:
    assert read_existing(project).answers == {
        "project_name": "spam-finder",
        "package_name": "spam_finder",
        "description": "Finds spam.",
        "author_name": "Ada",
        "author_email": "ada@host.example",
        "python_version": "3.12",
        "license": "Apache-2.0",
        "starter": "blank",
    }


@dataclass
class Adopted:
    """A project after `adopt`, still on its own branch."""

    project: Path
    before: dict[str, bytes]
    output: str


@pytest.fixture(scope="session")
def adopted(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Adopted:
    """An adopted project. Tests don't change it."""
    project = write(tmp_path_factory.mktemp("adopted") / "spam", FILES)
    before = tree(project)
    options = ["--defaults", "--data", "tracker=mlflow", "--template", str(template)]
    with redirect_stdout(StringIO()) as output:
        assert main(["adopt", str(project), *options]) == 0
    return Adopted(project, before, output.getvalue())


def test_missing_files_are_added_on_a_branch_and_the_checkout_is_not_changed(
    adopted: Adopted, tmp_path: Path
) -> None:
    project, before, output = adopted.project, adopted.before, adopted.output
    assert tree(project) == before
    assert git(project, "branch", "--show-current").strip() == "main"
    assert git(project, "worktree", "list").count("\n") == 1
    assert git(project, "rev-list", "--count", "main..ml-architect").strip() == "1"
    branch = ("--branch", "ml-architect", str(project), str(tmp_path / "branch"))
    git(tmp_path, "clone", "--quiet", *branch)
    after = tree(tmp_path / "branch")
    assert recorded(tmp_path / "branch")["tracker"] == "mlflow"
    assert "src/spam_finder/training/loop.py" in after
    assert set(before) <= set(after)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"pyproject.toml", ".gitignore"}
    assert output.count("  src/spam_finder/training/loop.py\n") == 1
    assert "To be added to .gitignore:\n  " in output
    assert "  numpy>=2.0,<3\n" in output
    assert "git diff main...ml-architect" in output
    assert "git branch -D ml-architect" in output


def test_missing_entries_are_added_to_pyproject_and_its_lines_stay(adopted: Adopted) -> None:
    text = git(adopted.project, "show", "ml-architect:pyproject.toml")
    kept = [line for line in MANIFEST.splitlines() if not line.startswith("dependencies")]
    assert [line for line in kept if line not in text.splitlines()] == []
    assert "# as they run here" in text
    table = tomllib.loads(text)
    dependencies = table["project"]["dependencies"]
    names = [requirement.partition("=")[0].strip("<>=") for requirement in dependencies]
    assert names[:2] == ["torch", "Matplotlib"]
    assert len({name.lower() for name in names}) == len(names)
    assert "safetensors" in names
    assert table["project"]["version"] == "1.2.3"
    assert table["project"]["scripts"] == {
        "spam": "spam_finder.run:main",
        "spam-finder": "spam_finder.cli:main",
    }
    assert table["tool"]["ruff"] == {"line-length": 88}
    assert {"pytest", "pyright"} & table["tool"].keys()
    assert "# checkpoints without pickle" in text


def test_a_license_and_a_readme_with_other_names_are_kept(adopted: Adopted) -> None:
    listed = git(adopted.project, "ls-tree", "--name-only", "ml-architect").splitlines()
    assert {"LICENSE.txt", "README.rst"} <= set(listed)
    assert {"LICENSE", "README.md"}.isdisjoint(listed)


@pytest.mark.slow
def test_existing_files_are_not_changed_by_updates(
    project: Path, template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = "# Ours.\n"
    write_more(project, {"AGENTS.md": mine, "tests/test_data.py": mine})
    newer = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", str(template), str(newer))
    assert main(["adopt", str(project), "--defaults", "--template", str(newer)]) == 0
    output = capsys.readouterr().out
    for name in ("AGENTS.md", "README.rst", "LICENSE.txt", "tests/test_data.py"):
        assert f"  {name}\n" in output.partition("Yours, not changed")[2]
    git(project, "switch", "--quiet", "ml-architect")
    yours = ["AGENTS.md", "src/spam_finder/__init__.py", "tests/test_data.py"]
    assert recorded(project)["yours"] == yours
    release_new_version(newer)
    assert main(["update", str(project), "--yes", "--template", str(newer)]) == 0
    for name in ("AGENTS.md", "tests/test_data.py"):
        assert (project / name).read_text("utf-8") == mine
    assert "10000" in (project / "src/spam_finder/training/run.py").read_text("utf-8")
    assert recorded(project)["yours"] == yours


def write_more(project: Path, files: dict[str, str]) -> None:
    """Commit more files of the owner's."""
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    commit(project, "More of ours")


def release_new_version(template: Path) -> None:
    """Release a version of the template that changes files of the project."""
    package = template / "template/src/{{ package_name }}"
    for file in (template / "template/AGENTS.md.jinja", *package.glob("training/*.py*")):
        file.write_text(file.read_text("utf-8") + "# Since 10000.\n", encoding="utf-8")
    text = (template / "pyproject.toml").read_text("utf-8")
    version = tomllib.loads(text)["project"]["version"]
    (template / "pyproject.toml").write_text(text.replace(version, "10000.0.0", 1), "utf-8")
    commit(template, "10000", "v10000.0.0")


@pytest.mark.slow
def test_files_and_folders_that_the_owner_takes_over_are_not_updated(
    template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", EARLIER)
    taken = ["src/digits/data", "src/digits/training/loop.py"]
    before = {name: text for name, text in tree(project).items() if name.startswith((*taken,))}
    assert len(before) > len(taken)
    options = ["update", str(project), "--yes", "--template", str(template)]
    assert main([*options, "--data", f"yours=[{', '.join(taken)}]", "--data", "tracker=wandb"]) == 0
    after = tree(project)
    assert {name: after[name] for name in before} == before
    assert after["src/digits/cli.py"].startswith(b"# The template's")  # another line in EARLIER
    assert recorded(project)["yours"] == taken
    assert recorded(project)["tracker"] == "wandb"


def test_nothing_is_written_through_a_link(
    tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    project = write(tmp_path / "spam", FILES)
    (project / "data").symlink_to(outside)
    commit(project, "A link")
    assert adopt(project) == 2
    assert "data is a link, where the template has data/" in capsys.readouterr().err
    assert list(outside.iterdir()) == []
    assert git(project, "branch", "--list", "ml-architect") == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
@pytest.mark.parametrize(
    "pattern",
    [
        ".git/worktrees/*",
        pytest.param(".git/worktrees/*/index", marks=pytest.mark.slow),
        pytest.param(".git/refs/heads/ml*", marks=pytest.mark.slow),
    ],
)
def test_sigterm_leaves_neither_branch_nor_worktree(
    pattern: str, project: Path, template: Path
) -> None:
    before = tree(project), git(project, "for-each-ref")
    code = [sys.executable, "-m", "ml_architect", "adopt", str(project), "--defaults"]
    running = subprocess.Popen([*code, "--template", str(template)], stderr=subprocess.PIPE)
    while running.poll() is None and not any(project.glob(pattern)):
        pass
    running.terminate()
    running.communicate()
    assert running.returncode == 143
    assert git(project, "worktree", "list").count("\n") == 1
    assert (tree(project), git(project, "for-each-ref")) == before


@pytest.mark.slow
def test_failing_hooks_are_not_run(project: Path, adopt: Any) -> None:
    hook = project / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 2\n", encoding="utf-8")
    hook.chmod(0o755)
    assert adopt(project) == 0
    assert git(project, "rev-list", "--count", "main..ml-architect").strip() == "1"


def test_files_that_gitignore_hides_are_tracked_and_reported(
    tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write(tmp_path / "spam", {**FILES, ".gitignore": "data/\n"})
    assert adopt(project) == 0
    output = capsys.readouterr().out
    assert re.search(r"\.gitignore hides data/\S+ and", output)
    listed = git(project, "ls-tree", "-r", "--name-only", "ml-architect").splitlines()
    assert "src/spam_finder/data/loader.py" in listed


def test_line_endings_and_other_encodings_are_preserved(tmp_path: Path, adopt: Any) -> None:
    project = write(tmp_path / "spam", FILES)
    manifest, ignore = MANIFEST.replace("\n", "\r\n").encode(), b"caf\xe9\r\nruns\r\n"
    (project / "pyproject.toml").write_bytes(manifest)
    (project / ".gitignore").write_bytes(ignore)
    commit(project, "As on Windows")
    assert adopt(project) == 0
    git(project, "switch", "--quiet", "ml-architect")
    assert (project / ".gitignore").read_bytes().endswith(ignore)
    lines = (project / "pyproject.toml").read_bytes().splitlines(keepends=True)
    kept = [line for line in manifest.splitlines(keepends=True) if b"dependencies" not in line]
    assert [line for line in kept if line not in lines] == []


@in_a_terminal
def test_a_user_answers_the_other_questions_and_sees_the_files_before_confirming(
    project: Path, template: Path
) -> None:
    terminal = start_in_terminal(template, project.parent, "adopt", "spam")
    for question in ("stage", "config", "tracker", "checkpoint", "checkpoint_writer", "devices"):
        answer(terminal, CATALOGUE.question(question).help, "")
    terminal.expect_exact("To be written:")
    terminal.expect_exact("To be added to pyproject.toml:")
    terminal.expect_exact("Yours, not changed")
    assert git(project, "branch", "--list", "ml-architect") == ""
    answer(terminal, "Write this on the branch ml-architect?", "y", "")
    terminal.expect_exact("git branch -D ml-architect")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert git(project, "rev-list", "--count", "main..ml-architect").strip() == "1"


@pytest.mark.slow
def test_an_adopted_project_passes_the_templates_tests_and_its_own(
    project: Path, adopt: Any
) -> None:
    if not ENVIRONMENT.exists() and "CI" not in os.environ:
        pytest.skip(f"{ENVIRONMENT} doesn't exist: make test creates it")
    assert adopt(project) == 0
    git(project, "switch", "--quiet", "ml-architect")
    run(
        project, "python", "-m", "pytest", "-p", "no:cacheprovider", "--ignore=tests/test_resume.py"
    )
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({"README.md": "a"}, [], "has no pyproject.toml"),
        ({"pyproject.toml": "[project"}, [], "can't be read"),
        (
            {"pyproject.toml": "[tool.poetry]\nversion = '1'\n"},
            [],
            "no [project] table with a name",
        ),
        ({"setup.py": "", "requirements.txt": "a"}, [], "and setup.py can't be read. Write one"),
        ({"requirements.txt": "-r other.txt"}, [], "other.txt can't be read: No such file"),
        ({"pyproject.toml": "[project]\nversion = '1'\n"}, [], "no [project] table with a name"),
        (
            {"pyproject.toml": MANIFEST, "spam/__init__.py": ""},
            [],
            "the package is in spam/, but the template's is in src/",
        ),
        (
            {"pyproject.toml": MANIFEST, "src/a/__init__.py": "", "src/b/__init__.py": ""},
            [],
            "src/ has several packages (a, b)",
        ),
        (
            {"pyproject.toml": MANIFEST.replace(">=3.12", "<3.11")},
            [],
            "the template's files need Python 3.11 or newer",
        ),
        (
            {"pyproject.toml": MANIFEST.replace(">=3.12", "new")},
            [],
            "requires-python = 'new': expected a version, such as",
        ),
        (
            {"pyproject.toml": MANIFEST, "src/Spam/__init__.py": ""},
            [],
            "'Spam' isn't a valid package name",
        ),
        (
            {"pyproject.toml": MANIFEST.replace('["torch==2.13.0", "Matplotlib"]', '"torch"')},
            [],
            "project.dependencies: Input should be a valid list",
        ),
        (
            {"pyproject.toml": "[project]\nname = 'a'\noptional-dependencies = {b = ['c']}\n"},
            [],
            "inline tables or dotted keys",
        ),
        ({**FILES, ".copier-answers.yml": "a: b\n"}, [], "uses the template already"),
        (FILES, ["--branch", "main"], "there is a branch main already. Choose another"),
        (
            FILES,
            ["--branch", "main/two"],
            "a branch main already. Choose another name, such as --branch ",
        ),
        (
            {**FILES, "src/spam_finder/cli.py": "", "src/spam_finder/eval/evaluate.py": ""},
            ["--data", "package_name=spam_finder"],
            "its own src/spam_finder/cli.py, src/spam_finder/eval/evaluate.py. To add another "
            "package: ml-architect adopt ",
        ),
        (FILES, ["--branch", "a..b"], "git accepts no such name"),
        (FILES, ["--data", "tracker=none"], "'none' isn't an option"),
        (FILES, ["--data", "trackr=jsonl"], "trackr: no such question"),
        (FILES, ["--data", "yours=[../a]"], "isn't inside the project"),
        (FILES, ["--version", "v77"], "--version v77: the template"),
    ],
    ids=str,
)
def test_reasons_not_to_adopt_are_reported_and_nothing_is_written(
    files: dict[str, str],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    adopt: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = write(tmp_path / "spam", files)
    before = tree(project), git(project, "for-each-ref")
    assert adopt(project, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert "branch -D" not in error
    assert git(project, "worktree", "list").count("\n") == 1
    assert (tree(project), git(project, "for-each-ref")) == before


NAMED = '[project]\nname = "spam"\nversion = "1"\n'
UNUSUAL = {
    'project = {name = "spam", version = "1"}\n': "first write inline tables",
    f'tool = "x"\n{NAMED}': "tool: Input should be a valid dict",
    f"{NAMED}[[tool]]\na = 1\n": "tool: Input should be a valid dict",
    f"{NAMED}[[tool.ruff]]\na = 1\n": "tool.ruff: Input should be a valid dict",
    f'{NAMED}[tool.ruff]\nline-length = "x"\n': "tool.ruff.line-length: Input should be a valid",
    f"{NAMED}[tool.ruff]\nline-length = nan\n": "tool.ruff.line-length: Input should be a valid",
    f"{NAMED}[tool.ruff]\nline-length = inf\n": "tool.ruff.line-length: Input should be a valid",
    f"{NAMED}dynamic = 5\n": "project.dynamic: Input should be a valid list",
    f'{NAMED}scripts = "x"\n': "project.scripts: Input should be a valid dict",
    f'{NAMED}[dependency-groups]\ndev = "x"\n': "dependency-groups.dev: Input should be a",
    f"build-system = 3\n{NAMED}": "build-system: Input should be a valid dict",
    '[tool.poetry]\nname = "a"\nauthors = 5\n': "tool.poetry.authors: Input should be a valid list",
    '[tool.poetry]\nname = "a"\ngroup = 5\n': "tool.poetry.group: Input should be a valid dict",
    NAMED.replace("\n", "\r"): "can't be read",
    f"{NAMED}x = {'9' * 5000}\n": "can't be read: Exceeds the limit",
    f"{NAMED}[{'.'.join(['a'] * 3000)}]\n": "nested more than 100 levels",
    f"{NAMED}x = {'[' * 3000}{']' * 3000}\n": "is nested too deeply",
    f'{NAMED}requires-python = ">=3.{"9" * 5000}"\n': "should have at most 1000 characters",
    f'{NAMED}dependencies = ["torch=={"9" * 5000}"]\n': "should have at most 1000 characters",
}
"""Manifests that no tool writes, and what is said about each."""


@pytest.mark.parametrize(("manifest", "message"), UNUSUAL.items(), ids=range(len(UNUSUAL)))
def test_an_unusual_manifest_is_refused_in_one_line(
    manifest: str, message: str, tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "spam"
    folder.mkdir()
    (folder / "pyproject.toml").write_bytes(manifest.encode())
    project = write(folder, {})
    assert adopt(project) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert len(error) < 500
    assert git(project, "branch", "--list", "ml-architect") == ""


def test_special_numbers_and_other_files_than_a_license_are_no_obstacle(
    tmp_path: Path, adopt: Any
) -> None:
    manifest = f'{NAMED}license = {{file = "/dev/zero"}}\n[tool.a]\nx = [nan, inf, {"9" * 4000}]\n'
    project = write(tmp_path / "spam", {"pyproject.toml": manifest})
    assert adopt(project) == 0
    assert "x = [nan, inf, 9" in git(project, "show", "ml-architect:pyproject.toml")


def test_uncommitted_changes_and_repositories_without_a_commit_are_refused(
    project: Path, adopt: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "README.rst").write_text("Changed.\n", encoding="utf-8")
    assert adopt(project) == 2
    assert "has uncommitted changes (1 file)" in capsys.readouterr().err
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "pyproject.toml").write_text(MANIFEST, encoding="utf-8")
    assert adopt(bare) == 2
    assert "isn't under git, or has no commit" in capsys.readouterr().err


def test_without_a_name_for_the_commit_the_message_says_how_to_set_it(
    project: Path, adopt: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("name", "email"):
        git(project, "config", "--unset", f"user.{name}")
    git(project, "config", "user.useConfigOnly", "true")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        for field in ("NAME", "EMAIL"):
            monkeypatch.delenv(f"GIT_{role}_{field}", raising=False)
    monkeypatch.delenv("EMAIL", raising=False)
    assert adopt(project) == 2
    assert "git config user.name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("torch==1.13", "torch==1.13 stays, but the added files need torch>=2.10"),
        ("Torch<2.9", "Torch<2.9 stays, but the added files need torch>=2.10"),
        ("torch==2.9.*", "torch==2.9.* stays"),
        ("torch>=2,!=2.10", None),
        ("torch~=2.9", None),
        ("torch>2.10", None),
        ("torch", None),
    ],
)
def test_an_incompatible_requirement_is_reported(
    given: str, expected: str | None, template: Path, tmp_path: Path
) -> None:
    manifest = MANIFEST.replace("torch==2.13.0", given)
    project = write(tmp_path / "spam", {**FILES, "pyproject.toml": manifest})
    rendered = copy(template, tmp_path / "made" / "digits", NEWEST)
    remarks = add_missing(project, (rendered / "pyproject.toml").read_text("utf-8")).remarks
    assert "ruff: line-length = 88 stays, but the template's files need 100" in remarks
    others = [remark for remark in remarks if "torch" in remark.lower()]
    assert [remark[: len(expected or "")] for remark in others] == ([expected] if expected else [])


def test_changes_that_the_owner_has_to_make_are_reported(
    tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    older = MANIFEST.replace(">=3.12", ">=3.8").replace("torch==2.13.0", "torch==1.13")
    project = write(tmp_path / "spam", {**FILES, "pyproject.toml": older})
    assert adopt(project) == 0
    output = capsys.readouterr().out
    assert "requires-python: >=3.8 stays, but the added files need 3.11" in output
    assert "torch==1.13 stays, but the added files need torch>=" in output
    assert ">=3.8" in git(project, "show", "ml-architect:pyproject.toml")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('license = "MIT"', "MIT"),
        ('license = {text = "Apache License 2.0"}', "Apache-2.0"),
        ('classifiers = ["License :: OSI Approved :: BSD License"]', "BSD-3-Clause"),
        ('license = {file = "LICENSE"}', "LicenseRef-Proprietary"),
        ('license = "GPL-3.0-only"', "LicenseRef-Proprietary"),
        ("", "LicenseRef-Proprietary"),
    ],
)
def test_a_license_is_recognized_in_any_spelling(given: str, expected: str, tmp_path: Path) -> None:
    manifest = MANIFEST.replace('license = "Apache-2.0"', given)
    project = write(tmp_path / "spam", {**FILES, "pyproject.toml": manifest})
    existing = read_existing(project)
    assert existing.answers["license"] == expected
    assert bool(existing.remarks) == (expected == "LicenseRef-Proprietary")


def test_a_pattern_in_another_form_is_not_added_again() -> None:
    theirs = "# Theirs\n/runs/\n/data/cache/\n"
    assert add_missing_lines("runs", theirs) == (
        "# ml-architect\n/data/cache/\n\nruns",
        ["/data/cache/"],
    )
    assert add_missing_lines("runs\ndata/cache", theirs) == ("runs\ndata/cache", [])


@pytest.mark.parametrize("name", ["LICENSE", "LICENCE.md", "copying"])
@pytest.mark.parametrize("license_name", ["MIT", "BSD-3-Clause", "Apache-2.0"])
def test_a_license_is_recognized_by_its_text(name: str, license_name: str, tmp_path: Path) -> None:
    text = (ROOT / "choices/license" / f"{license_name}.txt.jinja").read_text("utf-8")
    files = {"pyproject.toml": '[project]\nname = "a"\n', name: text.replace("    ", " ")}
    existing = read_existing(write(tmp_path / "spam", files))
    assert existing.answers["license"] == license_name
    assert existing.remarks == [f"license: {license_name}, as in {name}"]


def test_two_licenses_are_left_to_a_person(tmp_path: Path) -> None:
    files = {"pyproject.toml": '[project]\nname = "a"\n'}
    for name in ("MIT", "Apache-2.0"):
        path = ROOT / "choices/license" / f"{name}.txt.jinja"
        files[f"LICENSE-{name}"] = path.read_text("utf-8")
    existing = read_existing(write(tmp_path / "spam", files))
    assert existing.answers["license"] == "LicenseRef-Proprietary"


def test_requirements_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(
        "\ufeff# ours\nTorch == 2.13.0  # as they run here\n\n-r sub/more.txt\n-e .\n.[dev]\n"
        "tqdm==4.66.1 \\\n    --hash=sha256:abc \\\n    --hash=sha256:def\n"
        "mlflow[extras]>=3; python_version < '3.13'\n--index-url https://host.example\n"
        "git+https://host.example/a/b\nlocal @ https://host.example/c.whl\n./wheels/d.whl\n",
        encoding="utf-8",
    )
    (tmp_path / "sub").mkdir()
    # PowerShell writes UTF-16. The first line includes the file that includes this one.
    (tmp_path / "sub/more.txt").write_text("-r ../requirements.txt\r\npolars\r\n", "utf-16")
    requirements = read_requirements(tmp_path)
    assert requirements.found == [
        "Torch==2.13.0",
        "polars",
        "tqdm==4.66.1",
        'mlflow[extras]>=3; python_version < "3.13"',
    ]
    assert [remark.rpartition(" state ")[2] for remark in requirements.remarks] == [
        "--index-url https://host.example",
        "git+https://host.example/a/b",
        "local @ https://host.example/c.whl",
        "./wheels/d.whl",
    ]


MESSY = "import os, sys\nx = undefined\n"
"""What ruff and pyright both report."""

SCRIPTS = {
    "requirements.txt": "torch==1.13\npandas>=2; python_version < '3.14'\n",
    "LICENSE": (ROOT / "choices/license/MIT.txt.jinja").read_text("utf-8"),
    "README.rst": "Spam\n",
    "train.py": MESSY,
    "data/load.py": MESSY,
    "notebooks/deep/look.py": MESSY,
    "src/spam/__init__.py": "",
    "src/spam/ours.py": MESSY,
    "src/spam/plots/a.py": MESSY,
    "tests/test_ours.py": MESSY,
}


def on_the_branch(project: Path) -> dict[str, Any]:
    """The content of `pyproject.toml`, which is checked out."""
    git(project, "switch", "--quiet", "ml-architect")
    return tomllib.loads((project / "pyproject.toml").read_text("utf-8"))


def test_scripts_with_a_requirements_file_become_a_project(
    tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write(tmp_path / "spam", SCRIPTS)
    assert adopt(project) == 0
    output = capsys.readouterr().out
    assert "torch==1.13 stays, but the added files need torch>=" in output
    assert "  LICENSE\n" in output.partition("Yours, not changed")[2]
    content = on_the_branch(project)
    assert content["project"]["name"] == "spam"
    assert content["project"]["license"] == "MIT"
    assert content["project"]["readme"] == "README.rst"
    assert content["project"]["dependencies"][0] == 'pandas>=2; python_version < "3.14"'
    assert content["build-system"]["build-backend"] == "hatchling.build"
    assert content["tool"]["hatch"]
    assert recorded(project)["package_name"] == "spam"


def test_requirements_are_carried_where_pyproject_has_none(
    tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**FILES, "requirements.txt": "pandas==2.2.3\n"}
    project = write(tmp_path / "two", files)
    assert adopt(project) == 0
    assert "requirements.txt names 1 more than pyproject.toml, such as pandas" in (
        capsys.readouterr().out
    )
    assert not any("pandas" in item for item in on_the_branch(project)["project"]["dependencies"])
    none = MANIFEST.replace(
        'dependencies = ["torch==2.13.0", "Matplotlib"]  # as they run here', ""
    )
    project = write(tmp_path / "none", {**files, "pyproject.toml": none})
    assert adopt(project) == 0
    assert on_the_branch(project)["project"]["dependencies"][0] == "pandas==2.2.3"


def test_the_owners_code_is_out_of_reach_of_linter_and_type_checker(
    tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write(tmp_path / "spam", SCRIPTS)
    assert adopt(project) == 0
    assert "your own code is left alone by ruff and pyright" in capsys.readouterr().out
    tools = on_the_branch(project)["tool"]
    shared = ["src/spam/__init__.py", "src/spam/ours.py", "src/spam/plots", "tests/test_ours.py"]
    ruff = ["data/load.py", "notebooks", *shared, "train.py"]
    assert tools["ruff"]["extend-exclude"] == ["scripts/throwaway", *(f"./{path}" for path in ruff)]
    assert tools["pyright"]["exclude"][-4:] == shared
    assert "**/.*" in tools["pyright"]["exclude"]
    check = [sys.executable, "-m", "ruff", "check", "--no-cache"]
    for command in (check, [*check, "train.py", "src/spam/ours.py"]):  # as pre-commit calls it
        assert subprocess.run(command, cwd=project, check=False).returncode == 0
    (project / "src/spam/data/mine.py").write_text(MESSY, encoding="utf-8")
    assert subprocess.run(check, cwd=project, check=False).returncode == 1


def test_a_module_in_the_way_leads_to_another_package(
    tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write(tmp_path / "spam", {**FILES, "src/spam_finder/cli.py": MESSY})
    assert adopt(project) == 0
    output = capsys.readouterr().out
    assert "src/spam_finder/cli.py: yours, so the template's modules are in another" in output
    assert "    spam-finder-ml validate\n" in output
    assert "src/spam_finder_ml/data/source.py" in output
    content = on_the_branch(project)
    assert content["project"]["scripts"] == {
        "spam": "spam_finder.run:main",
        "spam-finder-ml": "spam_finder_ml.cli:main",
    }
    assert (project / "src/spam_finder/cli.py").read_text("utf-8") == MESSY
    assert not (project / "src/spam_finder/training").exists()
    assert recorded(project)["package_name"] == "spam_finder_ml"


def test_the_closing_message_says_where_the_owners_code_goes(adopted: Adopted) -> None:
    closing = adopted.output.partition("one commit on the branch")[2]
    listed = git(adopted.project, "ls-tree", "-r", "--name-only", "ml-architect").splitlines()
    for name in ("data/source.py", "models/network.py", "settings.py"):
        assert f"src/spam_finder/{name}" in closing
        assert f"src/spam_finder/{name}" in listed


SETUPTOOLS = """\
[build-system]
requires = ["setuptools>=70"]
build-backend = "setuptools.build_meta"

[project]
name = "spam"
version = "1"
dynamic = ["dependencies"]

[dependency-groups]
dev = ["pre-commit"]

[tool.setuptools.dynamic]
dependencies = {file = ["requirements.txt"]}
"""


def test_a_setuptools_project_keeps_its_build_backend(
    tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"pyproject.toml": SETUPTOOLS, "requirements.txt": "numpy\n", "uv.lock": ""}
    project = write(tmp_path / "spam", files)
    assert adopt(project) == 0
    output = capsys.readouterr().out
    assert "dependencies are dynamic, so add them yourself" in output
    assert "ml-architect && uv sync\n" in output
    content = on_the_branch(project)
    before = tomllib.loads(SETUPTOOLS)
    assert content["build-system"] == before["build-system"]
    assert content["tool"]["setuptools"] == before["tool"]["setuptools"]
    assert "hatch" not in content["tool"]
    assert content["dependency-groups"] == {"dev": ["pre-commit", "spam[dev]"]}


POETRY = """\
[tool.poetry]
name = "spam"
version = "0.3.0"
description = "Finds spam."
authors = ["Ada <ada@host.example>"]
license = "MIT"

[tool.poetry.dependencies]
python = "^3.12"
torch = "^2.10"  # ours

[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""


def test_a_poetry_project_keeps_its_build_backend_and_its_tables(
    tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write(tmp_path / "spam", {"pyproject.toml": POETRY})
    answers = read_existing(project).answers
    assert answers["author_name"] == "Ada"
    assert answers["author_email"] == "ada@host.example"
    assert answers["license"] == "MIT"
    assert answers["python_version"] == "3.12"
    assert adopt(project) == 0
    assert "ml-architect && poetry lock && poetry install" in capsys.readouterr().out
    content = on_the_branch(project)
    text = (project / "pyproject.toml").read_text("utf-8")
    assert [line for line in POETRY.splitlines() if line not in text.splitlines()] == []
    poetry = content["tool"]["poetry"]
    assert poetry["dependencies"]["torch"] == "^2.10"
    assert poetry["dependencies"]["safetensors"] == "<1,>=0.5"
    assert poetry["group"]["dev"]["dependencies"]["pyright"]["extras"] == ["nodejs"]
    assert poetry["scripts"] == {"spam": "spam.cli:main"}
    assert {"project", "dependency-groups"}.isdisjoint(content)
    assert "hatch" not in content["tool"]


@pytest.mark.parametrize("given", ['"^1.13"', '"*"', '{version = "^2.10"}', '"~2.10"'])
def test_an_incompatible_requirement_of_poetrys_is_reported(
    given: str, tmp_path: Path, adopt: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    project = write(tmp_path / "spam", {"pyproject.toml": POETRY.replace('"^2.10"', given)})
    assert adopt(project) == 0
    reported = "torch>=1.13,<2 stays, but the added files need torch>=" in capsys.readouterr().out
    assert reported == (given == '"^1.13"')


def test_poetrys_tables_stay_in_use_beside_a_project_table(tmp_path: Path, adopt: Any) -> None:
    table = '[project]\nname = "spam"\nversion = "1"\nrequires-python = ">=3.11"\n\n'
    poetry = POETRY[POETRY.index("[tool.poetry.dependencies]") :]
    project = write(tmp_path / "spam", {"pyproject.toml": table + poetry})
    assert adopt(project) == 0
    content = on_the_branch(project)
    # Poetry would ignore its own table if this one had any.
    assert {"dependencies", "optional-dependencies"}.isdisjoint(content["project"])
    assert "safetensors" in content["tool"]["poetry"]["dependencies"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("^3.11", "3.11"),
        ("~3.12", "3.12"),
        ("~3", "3.11"),
        (">= 3.12,<4.0", "3.12"),
        ("3.13.*", "3.13"),
    ],
)
def test_poetrys_python_versions_are_read(given: str, expected: str, tmp_path: Path) -> None:
    manifest = POETRY.replace("^3.12", given)
    project = write(tmp_path / "spam", {"pyproject.toml": manifest})
    assert read_existing(project).answers["python_version"] == expected
