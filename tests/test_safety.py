"""Generated projects are safe by what the field's own checkers say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from combinations import COMBINATIONS, Answers
from rendering import render
from test_projects import ENVIRONMENT

BIN = Path(sys.executable).parent

PICKLES_EVALS_AND_SHELLS = [
    "--isolated",
    "--preview",
    "--select=S,TID251",
    "--config=lint.flake8-tidy-imports.banned-api = {'torch.load' = {msg = 'a pickle'}}",
    "--ignore=S101,S404,S603,S607",  # assertions; processes as such: none gets a shell's string
]

UNSAFE = {
    "S301": "import pickle\n\npickle.load(open('a', 'rb'))\n",
    "S307": "eval('1')\n",
    "S102": "exec('1')\n",
    "S602": "import subprocess\n\nsubprocess.run('ls *', shell=True)\n",
    "S605": "import os\n\nos.system('ls *')\n",
    "TID251": "import torch\n\ntorch.load('a', weights_only=True)\n",
    "S506": "import yaml\n\nyaml.load('a')\n",
}


def run(*command: str | Path, folder: Path, **environment: str) -> tuple[int, str]:
    """The exit code of a checker, and what it says."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def projects(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project of each combination."""
    folder = tmp_path_factory.mktemp("projects")
    for name, answers in COMBINATIONS.items():
        render(template, folder / name, project_name="Digits", **answers)
    return folder


@pytest.mark.slow
def test_no_project_loads_a_pickle_evaluates_text_or_gives_a_shell_a_string(
    projects: Path,
) -> None:
    for name in COMBINATIONS:
        checked = [projects / name / part for part in ("src", "scripts")]
        code, said = run(
            BIN / "ruff", "check", *PICKLES_EVALS_AND_SHELLS, *checked, folder=projects
        )
        assert code == 0, said


@pytest.mark.parametrize("rule", UNSAFE)
def test_the_checker_would_find_it(rule: str, tmp_path: Path) -> None:
    (tmp_path / "unsafe.py").write_text(UNSAFE[rule], encoding="utf-8")
    said = run(
        BIN / "ruff", "check", *PICKLES_EVALS_AND_SHELLS, "--output-format=json", folder=tmp_path
    )
    assert f'"{rule}"' in said[1]


@pytest.mark.parametrize("stage", ["prototype", "production"])
def test_zizmor_finds_nothing_in_workflows_and_hooks(
    stage: str, template: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "digits", stage=stage)
    command = (BIN / "zizmor", "--offline", "--no-progress", "--persona=auditor", ".")
    code, said = run(*command, folder=project)
    assert code == 0, said
    workflow = project / ".github/workflows/ci.yml"
    if workflow.exists():
        text = workflow.read_text(encoding="utf-8")
        workflow.write_text(text.replace("contents: read", "contents: write"), encoding="utf-8")
        assert run(*command, folder=project)[0] != 0, "a permission too many isn't found"


@pytest.mark.slow
@pytest.mark.skipif(
    not ENVIRONMENT.exists() and "CI" not in os.environ,
    reason=f"{ENVIRONMENT} isn't there: make test creates it",
)
@pytest.mark.parametrize("answers", COMBINATIONS.values(), ids=COMBINATIONS)
def test_deptry_finds_no_dependency_too_many_or_too_few(answers: Answers, projects: Path) -> None:
    name = next(each for each, stated in COMBINATIONS.items() if stated == answers)
    (site,) = ENVIRONMENT.glob("lib/python*/site-packages")  # what a distribution imports as
    command = (BIN / "deptry", "--optional-dependencies-dev-groups=dev", "--no-ansi", ".")
    code, said = run(*command, folder=projects / name, PYTHONPATH=str(site))
    assert code == 0, said


def test_deptry_finds_one_too_many(template: Path, tmp_path: Path) -> None:
    project = render(template, tmp_path / "digits")
    manifest = project / "pyproject.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("dependencies = [", 'dependencies = [\n"attrs",', 1), "utf-8")
    command = (BIN / "deptry", "--optional-dependencies-dev-groups=dev", "--no-ansi", ".")
    code, said = run(*command, folder=project)
    assert code == 1
    assert "DEP002 'attrs'" in said
