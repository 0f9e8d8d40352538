"""A generated project is complete, well-formed and contains only what was chosen."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from combinations import CATALOGUE, CODE_QUESTIONS, COMBINATIONS, Answers
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from jinja2 import Environment, nodes
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from pytest_copie.plugin import Copie
from rendering import ROOT, copy_template, render

HEADER = re.compile(r"Yours:|The template's:")
NO_HEADER = {"LICENSE", ".csv"}  # a legal text, and a table without comments
JINJA = re.compile(r"\{%|\{#|(?<!\$)\{\{ ")  # `${{ }}` is GitHub's
JINJA_IN_PYTHON = re.compile(r"\{%|\{#|\{\{\s*\w*_name\b")  # `{{` alone may be in an f-string
ILLEGAL_ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]\Z')
DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(10)
}
DIFFICULT = {
    "project_name": '"Dig\'its" \\ 🧮 *a* {{ b }} {% c %} #',
    "description": 'It\'s "quoted", \'\'\'thrice\'\'\' and """thrice""" \\N{BEL} [a](b) | `c` #',
    "author_name": 'Ada "the" O\'Hara \\ 🧮 <b> {{ 7 * 7 }}',
    "package_name": "difficult",
}
BY_NAME = {
    package.name: package
    for package in (
        *CATALOGUE.requirements,
        *CATALOGUE.development,
        *(r for q in CATALOGUE.questions for option in q.options for r in option.requirements),
    )
}
"""Every package that any project requires."""


@pytest.fixture(scope="session", params=COMBINATIONS)  # pytest groups the tests by its value
def answers(request: pytest.FixtureRequest) -> Answers:
    """The answers of each combination."""
    return COMBINATIONS[request.param]


@pytest.fixture(scope="session")
def project(answers: Answers, template: Path, copie_session: Copie) -> Path:
    """A project with these answers."""
    return make(copie_session, template, package_name="digits", **answers)


def make(copie: Copie, template: Path, **answers: str) -> Path:
    """Make a project. Raises Copier's exception if it failed."""
    result = copie.copy(answers, template_dir=template)
    if result.exception is not None:
        raise result.exception
    assert result.project_dir is not None
    return result.project_dir


def files(project: Path, pattern: str = "*") -> Iterator[Path]:
    """The files of a project whose name matches a pattern."""
    yield from sorted(path for path in project.rglob(pattern) if path.is_file())


def header(path: Path) -> str:
    """The first lines, which name the owner of a file."""
    return "\n".join(path.read_text(encoding="utf-8").splitlines()[:3])


def imports(path: Path) -> set[str]:
    """The absolute imports of a Python file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return names


def expected_requirements(answers: Answers) -> dict[str, SpecifierSet]:
    """The requirements of every project and of the chosen options, by name."""
    chosen = [package for option in CATALOGUE.chosen(answers) for package in option.requirements]
    packages = [*CATALOGUE.requirements, *chosen]
    return {package.name: SpecifierSet(package.versions) for package in packages}


def declared(project: Path) -> tuple[dict[str, Requirement], dict[str, Requirement]]:
    """The runtime and development dependencies in pyproject.toml."""
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = (table["dependencies"], table["optional-dependencies"]["dev"])
    own, development = ({(r := Requirement(line)).name: r for line in lines} for lines in lists)
    return own, development


def parse_all(project: Path) -> None:
    """Parse every Python, TOML and YAML file."""
    for path in files(project, "*.py"):
        ast.parse(path.read_text(encoding="utf-8"), str(path))
    for path in files(project, "*.toml"):
        tomllib.loads(path.read_text(encoding="utf-8"))
    for path in (*files(project, "*.yml"), *files(project, "*.yaml")):
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path


def ruff(project: Path) -> str:
    """Run the linter and the formatter with the project's rules. Returns what they report."""
    output = ""
    for arguments in (["check", "--output-format=concise"], ["format", "--diff"]):
        result = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
            cwd=project,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        output += "" if result.returncode == 0 else result.stdout + result.stderr
    return output


def copier_copy(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Copier's command without a terminal, as a script would."""
    command = [sys.executable, "-m", "copier", "copy", "--trust", "--defaults"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


# --- every pair of answers ----------------------------------------------------------------------


def test_every_file_parses_and_follows_the_projects_own_rules(project: Path) -> None:
    assert (project / "pyproject.toml").exists()
    parse_all(project)
    problems = ruff(project)
    assert not problems, problems


def test_no_jinja_is_left(project: Path) -> None:
    for path in files(project):
        text = path.read_text(encoding="utf-8")
        match = (JINJA_IN_PYTHON if path.suffix == ".py" else JINJA).search(text)
        assert match is None, (path, match)


def test_every_name_is_legal_on_windows(project: Path) -> None:
    paths = [path.relative_to(project) for path in project.rglob("*")]
    for path in paths:
        assert not ILLEGAL_ON_WINDOWS.search(path.name), path
        assert path.name.split(".")[0].lower() not in DEVICES, path
    assert len({path.as_posix().lower() for path in paths}) == len(paths)


def test_every_file_names_its_owner(project: Path) -> None:
    for path in files(project):
        if not NO_HEADER & {path.name, path.suffix}:
            assert HEADER.search(header(path)), path


def test_the_readme_marks_the_owners_files_and_no_others(project: Path) -> None:
    text = (project / "README.md").read_text(encoding="utf-8")
    listing = text.partition("## Files")[2].split("```")[1]
    marked = {
        ("src/digits/" if line.startswith("  ") else "") + line.split()[0]
        for line in listing.splitlines()
        if re.match(r" *\S+ \*", line)
    }
    owners = {
        path.relative_to(project).as_posix()
        for path in files(project)
        if path.suffix == ".csv" or "Yours:" in header(path)
    }
    owners.remove("README.md")
    assert {name for name in owners if not name.startswith(tuple(marked))} == set()
    assert {name for name in marked if not any(o.startswith(name) for o in owners)} == set()


def test_the_readme_lists_every_module(project: Path) -> None:
    text = (project / "README.md").read_text(encoding="utf-8")
    listing = text.partition("## Files")[2].split("```")[1]
    modules = {path.name for path in files(project / "src", "*.py")} - {"__init__.py"}
    assert {name for name in modules if name not in listing} == set()


def test_dependencies_are_those_of_the_answers(project: Path, answers: Answers) -> None:
    own, _ = declared(project)
    assert {name: r.specifier for name, r in own.items()} == expected_requirements(answers)


OPTIONAL = {"tokenizers"}
"""Imported where a setting asks for it; without the package, an error says how to install it."""


def test_every_import_was_chosen_and_is_declared(project: Path, answers: Answers) -> None:
    allowed = set(expected_requirements(answers))
    unchosen = {package.module for name, package in BY_NAME.items() if name not in allowed}
    for folder in ("src", "tests", "scripts"):
        if folder == "tests":
            allowed |= {package.name for package in CATALOGUE.development}
            unchosen -= {package.module for package in CATALOGUE.development}
        modules = {BY_NAME[name].module for name in allowed} | {"digits", "conftest"}
        for path in files(project / folder, "*.py"):
            names = imports(path)
            # Submodules too, such as torch.utils.tensorboard.
            assert not {part for name in names for part in name.split(".")} & unchosen, path
            roots = {name.split(".")[0] for name in names} - sys.stdlib_module_names
            assert roots <= modules | OPTIONAL, path


def test_versions_are_pinned_in_production_and_within_the_declared_bounds(
    project: Path, answers: Answers
) -> None:
    path = project / "constraints.txt"
    assert path.exists() == (answers["stage"] == "production")
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        pins = dict(line.split("==") for line in lines if not line.startswith("#"))
        for requirements in declared(project):
            for name, requirement in requirements.items():
                version = pins.get(name, pins.get(name.replace("-", "_"), ""))
                assert version in requirement.specifier, name


def test_no_file_of_the_package_depends_on_more_than_two_answers() -> None:
    """Testing every pair of answers is therefore enough, instead of all 720 combinations."""
    for path in (ROOT / "template").rglob("*.py.jinja"):
        tree = Environment().parse(path.read_text(encoding="utf-8"))
        names = {node.name for node in tree.find_all(nodes.Name)}
        assert len(names & set(CODE_QUESTIONS)) <= 2, path


# --- single projects ----------------------------------------------------------------------------


def test_throwaway_scripts_are_not_packaged(copie: Copie, template: Path, tmp_path: Path) -> None:
    root = str(make(copie, template))
    source = next(SdistBuilder(root).build(directory=str(tmp_path)))
    wheel = next(WheelBuilder(root).build(directory=str(tmp_path), versions=["standard"]))
    with tarfile.open(source) as sources, zipfile.ZipFile(wheel) as wheels:
        packaged = sources.getnames() + wheels.namelist()
    assert any(name.endswith("/training/loop.py") for name in packaged)
    assert [name for name in packaged if "throwaway" in name] == []


def test_git_ignores_no_file_of_a_project(copie: Copie, template: Path) -> None:
    project = make(copie, template, stage="production", starter="blank")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    status = ["git", "status", "--porcelain", "--ignored", "--untracked-files=all"]
    result = subprocess.run(status, cwd=project, capture_output=True, encoding="utf-8", check=True)
    assert result.stdout.count("?? ") > 20
    assert "!! " not in result.stdout


def test_answers_with_markup_make_a_valid_project(copie: Copie, template: Path) -> None:
    project = make(copie, template, stage="production", **DIFFICULT)
    parse_all(project)
    problems = ruff(project)
    assert not problems, problems
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert table["description"] == DIFFICULT["description"]
    assert table["authors"] == [{"name": DIFFICULT["author_name"]}]
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert {name: recorded[name] for name in DIFFICULT} == DIFFICULT


@pytest.mark.parametrize("folder", ["torch", "数字", "{{ a }}"])
def test_the_defaults_are_valid_for_any_name_of_the_folder(
    folder: str, template: Path, tmp_path: Path
) -> None:
    assert any((render(template, tmp_path / folder) / "src").iterdir())


def test_invalid_answers_are_rejected_in_one_message_and_nothing_is_written(
    template: Path, tmp_path: Path
) -> None:
    bad = {"package_name": "torch", "tracker": "nonsense", "python_version": "2.7"}
    data = [f"--data={name}={value}" for name, value in bad.items()]
    result = copier_copy(*data, template, "bad", cwd=tmp_path)
    assert result.returncode != 0
    assert result.stderr.count("Nothing was written") == 1
    for name, value in bad.items():
        assert f"  - {name} {value!r} " in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "bad").exists()


def test_a_clone_makes_a_project_without_a_terminal(tmp_path: Path) -> None:
    clone = copy_template(tmp_path / "clone")
    for arguments in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=Ada", "-c", "user.email=ada@host.example", "commit", "-qm", "Start"],
    ):
        subprocess.run(["git", *arguments], cwd=clone, check=True)
    result = copier_copy(".", tmp_path / "my-digits", cwd=clone)
    assert result.returncode == 0, result.stderr
    recorded = yaml.safe_load((tmp_path / "my-digits/.copier-answers.yml").read_text("utf-8"))
    assert recorded["project_name"] == "My Digits"
    assert (tmp_path / "my-digits/src/my_digits/config.py").exists()


def test_a_destination_that_is_not_empty_is_not_changed(template: Path, tmp_path: Path) -> None:
    mine = tmp_path / "digits" / "README.md"
    mine.parent.mkdir()
    mine.write_text("mine\n", encoding="utf-8")
    result = copier_copy(template, mine.parent, cwd=tmp_path)
    assert result.returncode == 1
    assert "--overwrite" in result.stderr
    assert "Traceback" not in result.stderr
    assert mine.read_text(encoding="utf-8") == "mine\n"
    assert list(mine.parent.iterdir()) == [mine]
