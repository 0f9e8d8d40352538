"""Whatever a person answers, their project is whole, tidy and only what they asked for."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from combinations import CATALOGUE, COMBINATIONS, Answers, every, title
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rendering import copy_template, render

Render = Callable[[str], Path]

OWNER = re.compile(r"Yours:|The template's:")
FOREIGN = {"LICENSE", ".csv"}  # a text of others, and a table that has no comments
JINJA = re.compile(r"\{%|\{#|(?<!\$)\{\{ ")  # `${{ }}` is GitHub's
JINJA_IN_PYTHON = re.compile(r"\{%|\{#|\{\{\s*\w*_name\b")  # `{{` alone is an f-string's
ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]\Z')
DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{n}" for port in ("com", "lpt") for n in range(10)
}
NASTY = {
    "project_name": '"Dig\'its" \\ 🧮 *a* {{ b }} {% c %} #',
    "description": 'It\'s "quoted", \'\'\'thrice\'\'\' and """thrice""" \\N{BEL} [a](b) | `c` #',
    "author_name": 'Ada "the" O\'Hara \\ 🧮 <b> {{ 7 * 7 }}',
    "package_name": "nasty",
}
STRANGE_FOLDERS = [
    "torch",
    "scikit-learn",
    "class",
    "a" * 70,
    "__",
    "2.0",
    "数字",
    " a\tb ",
    "{{ a }}",
    "#",
]


@pytest.fixture(scope="session")
def rendered(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Gives the project of a combination, rendered on first use, all in one folder."""
    parent = tmp_path_factory.mktemp("projects")

    @functools.cache
    def project(name: str) -> Path:
        digits = {"project_name": "Digits", **COMBINATIONS[name]}
        return render(template, parent / name, **digits)

    return project


@pytest.fixture(params=COMBINATIONS)
def combination(request: pytest.FixtureRequest) -> str:
    """The name of every combination in turn."""
    return request.param


@pytest.fixture
def answers(combination: str) -> Answers:
    """What was answered."""
    return COMBINATIONS[combination]


@pytest.fixture
def project(combination: str, rendered: Render) -> Path:
    """The folder of the project."""
    return rendered(combination)


def files(project: Path, pattern: str = "*") -> Iterator[Path]:
    """The files of a project whose name fits, by path."""
    yield from sorted(path for path in project.rglob(pattern) if path.is_file())


def modules(path: Path) -> set[str]:
    """The absolute imports of a Python file, dots and all."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
    return found


def fields(path: Path) -> dict[str, list[str]]:
    """The annotated fields of each class in a Python file."""
    found: dict[str, list[str]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            lines = [each for each in node.body if isinstance(each, ast.AnnAssign)]
            own = [each for each in lines if "ClassVar" not in ast.unparse(each.annotation)]
            found[node.name] = [ast.unparse(each.target) for each in own]
    return found


def stated(answers: Answers, what: str) -> list[Any]:
    """What a project has of `requirements` or `settings`: every project's, and more or others."""
    chosen = [option for each in CATALOGUE.chosen(answers) for option in getattr(each, what)]
    both = (*getattr(CATALOGUE, what), *chosen)
    return [*{getattr(each, "path", each.name): each for each in both}.values()]


def declared(project: Path) -> tuple[dict[str, Requirement], dict[str, Requirement]]:
    """The dependencies in pyproject.toml: the project's, and those of its development."""
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = (table["dependencies"], table["optional-dependencies"]["dev"])
    own, development = ({(r := Requirement(line)).name: r for line in each} for each in lists)
    return own, development


def parse_all(project: Path) -> None:
    """Parse every file whose language Python can read."""
    for path in files(project, "*.py"):
        ast.parse(path.read_text(encoding="utf-8"), str(path))
    for path in files(project, "*.toml"):
        tomllib.loads(path.read_text(encoding="utf-8"))
    for path in (*files(project, "*.yml"), *files(project, "*.yaml")):
        assert yaml.safe_load(path.read_text(encoding="utf-8")), path


def ruff(folder: Path) -> str:
    """What ruff finds to complain of in a folder, each project by its own rules."""
    command = [sys.executable, "-m", "ruff"]  # told --no-cache: other tests list the folder
    complaints = ""
    for arguments in (["check", "--output-format=concise"], ["format", "--diff"]):
        done = subprocess.run(
            [*command, *arguments, "--no-cache", "."],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        complaints += "" if done.returncode == 0 else done.stdout + done.stderr
    return complaints


def copier_copy(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a script would: nobody is there to answer."""
    command = [
        sys.executable,
        "-m",
        "copier",
        "copy",
        "--trust",
        "--defaults",
        *map(str, arguments),
    ]
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_every_file_parses(project: Path) -> None:
    assert (project / "pyproject.toml").exists()
    parse_all(project)


def test_nothing_of_the_template_language_is_left(project: Path) -> None:
    for path in files(project):
        text = path.read_text(encoding="utf-8")
        found = (JINJA_IN_PYTHON if path.suffix == ".py" else JINJA).search(text)
        assert found is None, (path, found)


def test_every_name_is_legal_on_windows(project: Path) -> None:
    paths = [path.relative_to(project) for path in project.rglob("*")]
    for path in paths:
        assert not ON_WINDOWS.search(path.name), path
        assert path.name.split(".")[0].lower() not in DEVICES, path
    assert len({path.as_posix().lower() for path in paths}) == len(paths)


def test_every_file_says_whose_it_is(project: Path) -> None:
    for path in files(project):
        if not FOREIGN & {path.name, path.suffix}:
            head = path.read_text(encoding="utf-8").splitlines()[:3]
            assert OWNER.search("\n".join(head)), path


def test_the_readme_marks_what_is_the_owners_and_nothing_else(project: Path) -> None:
    text = (project / "README.md").read_text(encoding="utf-8")
    listing = text.partition("## The files, and who owns them")[2].split("```")[1]
    inside = f"src/{next((project / 'src').iterdir()).name}/"
    marked = {
        (inside if line.startswith("  ") else "") + line.split()[0]
        for line in listing.splitlines()
        if re.match(r" *\S+ +\* ", line)
    }
    said = {
        path.relative_to(project).as_posix()
        for path in files(project)
        if "Yours:" in "".join(path.read_text(encoding="utf-8").splitlines()[:3])
    }
    said |= {"data/records.csv"} if (project / "data/records.csv").exists() else set[str]()
    assert {name for name in said if not any(name.startswith(each) for each in marked)} == set()
    assert {each for each in marked if not any(name.startswith(each) for name in said)} == set()


def test_dependencies_are_those_of_the_answers(project: Path, answers: Answers) -> None:
    own, _ = declared(project)
    expected = {each.name: SpecifierSet(each.versions) for each in stated(answers, "requirements")}
    assert {name: each.specifier for name, each in own.items()} == expected


def test_no_file_imports_what_was_not_chosen(project: Path, answers: Answers) -> None:
    needed = {each.module for each in stated(answers, "requirements")}
    needed |= {each.module for each in CATALOGUE.development}
    unchosen = CATALOGUE.modules - needed
    for path in files(project, "*.py"):
        parts = {part for module in modules(path) for part in module.split(".")}
        assert not parts & unchosen, path


def test_every_import_is_declared(project: Path) -> None:
    own, development = declared(project)
    ours = {path.name for path in (project / "src").iterdir()}
    every = [*CATALOGUE.requirements, *CATALOGUE.development]
    every += [
        each for q in CATALOGUE.questions for option in q.options for each in option.requirements
    ]
    distributions = {each.module: each.name for each in every}
    distributions["pydantic_core"] = "pydantic"  # which pins it and documents importing from it
    for folder, allowed in (("src", own), ("tests", own | development)):
        for path in files(project / folder, "*.py"):
            names = {name.split(".")[0] for name in modules(path)} - ours - sys.stdlib_module_names
            for name in names - {"conftest"}:
                assert distributions.get(name) in allowed, (path, name)


def test_the_config_has_the_settings_of_the_answers_and_no_other(
    project: Path, answers: Answers
) -> None:
    expected: dict[str, list[str]] = {"Config": []}
    for section in CATALOGUE.sections:
        expected["Config"].append(section.name)
        expected[section.type] = []
    types = {"": "Config", **{section.name: section.type for section in CATALOGUE.sections}}
    for setting in stated(answers, "settings"):
        expected[types[setting.section]].append(setting.name)
    found = fields(project / "src/digits/config.py")
    for name, names in expected.items():
        assert sorted(found[name]) == sorted(names), name


STUDIES = {"scale", "tune", "ablate"}
"""Configs with a table that the tool reads, and which is no setting of a run."""


def test_every_config_states_settings_that_exist(project: Path, answers: Answers) -> None:
    paths = {each.path for each in stated(answers, "settings")}
    sections = {each.name for each in CATALOGUE.sections}
    configs = list(files(project / "configs", "*.toml"))
    assert configs
    for config in configs:
        tables = tomllib.loads(config.read_text(encoding="utf-8"))
        tables.pop(config.stem if config.stem in STUDIES else "", None)  # see test_studies.py
        for key in tables:
            names = {f"{key}.{name}" for name in tables[key]} if key in sections else {key}
            assert names <= paths, config


def test_throwaway_scripts_are_in_no_package(rendered: Render, tmp_path: Path) -> None:
    root = str(rendered(next(iter(COMBINATIONS))))
    source = next(SdistBuilder(root).build(directory=str(tmp_path)))
    wheel = next(WheelBuilder(root).build(directory=str(tmp_path), versions=["standard"]))
    with tarfile.open(source) as sources, zipfile.ZipFile(wheel) as wheels:
        shipped = sources.getnames() + wheels.namelist()
    assert any(name.endswith("/training/loop.py") for name in shipped)
    assert [name for name in shipped if "throwaway" in name] == []


def test_ruff_has_nothing_to_say_about_any_project(rendered: Render) -> None:
    folders = [rendered(name) for name in COMBINATIONS]
    complaints = ruff(folders[0].parent)
    assert not complaints, complaints


@pytest.mark.slow
@pytest.mark.parametrize("tracker", CATALOGUE.question("tracker").values)
def test_every_combination_is_sound(tracker: str, template: Path, tmp_path: Path) -> None:
    for answers in every():
        if answers["tracker"] == tracker:
            parse_all(render(template, tmp_path / title(answers), package_name="digits", **answers))
    complaints = ruff(tmp_path)
    assert not complaints, complaints


def test_git_ignores_no_file_of_a_project(template: Path, tmp_path: Path) -> None:
    project = render(template, tmp_path / "project", stage="production", starter="blank")
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    status = ["git", "status", "--porcelain", "--ignored", "--untracked-files=all"]
    done = subprocess.run(status, cwd=project, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.count("?? ") > 20
    assert "!! " not in done.stdout


@pytest.mark.parametrize("config", CATALOGUE.question("config").values)
def test_answers_full_of_markup_make_a_sound_project(
    config: str, template: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "nasty", config=config, stage="production", **NASTY)
    parse_all(project)
    complaints = ruff(project)
    assert not complaints, complaints
    table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert table["description"] == NASTY["description"]
    assert table["authors"] == [{"name": NASTY["author_name"]}]
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert {name: recorded[name] for name in NASTY} == NASTY


@pytest.mark.parametrize("folder", STRANGE_FOLDERS)
def test_the_defaults_fit_whatever_the_folder_is_called(
    folder: str, template: Path, tmp_path: Path
) -> None:
    assert any((render(template, tmp_path / folder) / "src").iterdir())


def test_bad_answers_are_refused_in_one_message_and_nothing_is_written(
    template: Path, tmp_path: Path
) -> None:
    bad = {"package_name": "torch", "tracker": "nonsense", "python_version": "2.7"}
    data = [f"--data={name}={value}" for name, value in bad.items()]
    done = copier_copy(*data, template, "bad", cwd=tmp_path)
    assert done.returncode != 0
    assert done.stderr.count("Nothing was written") == 1
    for name, value in bad.items():
        assert f"  - {name} {value!r} " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "bad").exists()


def test_a_clone_makes_a_project_without_a_terminal(tmp_path: Path) -> None:
    clone = copy_template(tmp_path / "clone")
    for arguments in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=Ada", "-c", "user.email=ada@host.example", "commit", "-qm", "Start"],
    ):
        subprocess.run(["git", *arguments], cwd=clone, check=True)
    done = copier_copy(".", tmp_path / "my-digits", cwd=clone)
    assert done.returncode == 0, done.stderr
    recorded = yaml.safe_load((tmp_path / "my-digits/.copier-answers.yml").read_text("utf-8"))
    assert recorded["project_name"] == "My Digits"
    assert (tmp_path / "my-digits/src/my_digits/config.py").exists()


def test_a_destination_that_is_not_empty_stays_as_it_is(template: Path, tmp_path: Path) -> None:
    mine = tmp_path / "digits" / "README.md"
    mine.parent.mkdir()
    mine.write_text("mine\n", encoding="utf-8")
    done = copier_copy(template, mine.parent, cwd=tmp_path)
    assert done.returncode == 1
    assert "--overwrite" in done.stderr
    assert "Traceback" not in done.stderr
    assert mine.read_text(encoding="utf-8") == "mine\n"
    assert list(mine.parent.iterdir()) == [mine]
