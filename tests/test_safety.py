"""Security checkers find nothing in generated projects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from combinations import Answers, each_once, title
from rendering import ROOT, render
from test_projects import ENVIRONMENT

BIN = Path(sys.executable).parent

SECURITY_RULES = [
    "--isolated",
    "--preview",
    "--select=S,TID251",
    "--config=lint.flake8-tidy-imports.banned-api = {'torch.load' = {msg = 'a pickle'}}",
    "--ignore=S101,S404,S603,S607",  # assertions; processes without a shell
]

DEPTRY = [
    "--optional-dependencies-dev-groups=dev",
    "--known-first-party=digits",  # also for scripts/, which are outside of src/
    "--per-rule-ignores=DEP003=tokenizers",  # an error says how to install it, where it is needed
    "--no-ansi",
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
    """Run a checker. Returns its exit code and its output."""
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    return result.returncode, result.stdout


def test_no_file_of_a_project_loads_pickles_evaluates_text_or_runs_a_shell() -> None:
    folders = (ROOT / "template", ROOT / "choices")
    code, output = run(BIN / "ruff", "check", *SECURITY_RULES, *folders, folder=ROOT)
    assert code == 0, output


@pytest.mark.parametrize("rule", UNSAFE)
def test_the_checker_finds_unsafe_code(rule: str, tmp_path: Path) -> None:
    (tmp_path / "unsafe.py").write_text(UNSAFE[rule], encoding="utf-8")
    _, output = run(BIN / "ruff", "check", *SECURITY_RULES, "--output-format=json", folder=tmp_path)
    assert f'"{rule}"' in output


@pytest.mark.parametrize("stage", ["prototype", "production"])
def test_zizmor_finds_nothing_in_workflows_and_hooks(
    stage: str, template: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "digits", stage=stage)
    command = (BIN / "zizmor", "--offline", "--no-progress", "--persona=auditor", ".")
    code, output = run(*command, folder=project)
    assert code == 0, output
    workflow = project / ".github/workflows/ci.yml"
    if workflow.exists():
        text = workflow.read_text(encoding="utf-8")
        workflow.write_text(text.replace("contents: read", "contents: write"), encoding="utf-8")
        assert run(*command, folder=project)[0] != 0, "an unnecessary permission isn't found"


@pytest.mark.slow
@pytest.mark.skipif(
    not ENVIRONMENT.exists() and "CI" not in os.environ,
    reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
)
@pytest.mark.parametrize("answers", each_once(), ids=title)
def test_deptry_finds_no_unused_or_missing_dependency(
    answers: Answers, template: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "digits", **answers)
    (site,) = ENVIRONMENT.glob("lib/python*/site-packages")  # to look up module names
    command = (BIN / "deptry", *DEPTRY, ".")
    code, output = run(*command, folder=project, PYTHONPATH=str(site))
    assert code == 0, output


def test_deptry_finds_an_unused_dependency(template: Path, tmp_path: Path) -> None:
    project = render(template, tmp_path / "digits")
    manifest = project / "pyproject.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("dependencies = [", 'dependencies = [\n"attrs",', 1), "utf-8")
    command = (BIN / "deptry", *DEPTRY, ".")
    code, output = run(*command, folder=project)
    assert code == 1
    assert "DEP002 'attrs'" in output
