"""Generated projects pass their own checks, whatever two answers meet in one of them.

They run in `.venv-project`, which holds what any of them needs, without being installed.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

import pytest
from combinations import CHOICES, SHAPING, Answers, covering, title
from rendering import ROOT, render

ENVIRONMENT = Path(os.environ.get("PROJECT_VENV", ROOT / ".venv-project"))
COMBINATIONS = {title(each): each for each in covering()}


def shapes() -> list[Answers]:
    """Few projects in which every two answers meet that decide what runs, and each tracker occurs.

    A tracker meets the other parts through its Protocol alone; test_trackers.py has each by itself.
    """
    rows = covering([name for name in SHAPING if name != "tracker"])
    trackers = itertools.cycle(CHOICES["tracker"])
    return [{**row, "tracker": next(trackers)} for row in rows]


SHAPES = {title(each): each for each in shapes()}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} isn't there: make test creates it",
    ),
]


def run(project: Path, *command: str) -> None:
    """Run one of a project's commands. Raises AssertionError with what it printed if it fails."""
    done = subprocess.run(
        command,
        cwd=project,
        env={
            **os.environ,
            "PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(project / "src"),
            "OMP_NUM_THREADS": "1",  # as many projects run as there are cores
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"


@pytest.fixture(scope="session")
def environment() -> Path:
    """Where the tools of generated projects are."""
    assert ENVIRONMENT.exists(), f"{ENVIRONMENT} isn't there: make test creates it"
    return ENVIRONMENT


@pytest.mark.parametrize("answers", COMBINATIONS.values(), ids=COMBINATIONS)
def test_a_project_passes_its_own_checks(
    answers: Answers, template: Path, environment: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "digits", **answers)
    run(project, "ruff", "check")
    run(project, "ruff", "format", "--check")
    run(project, "pyright", "--pythonpath", str(environment / "bin" / "python"))
    if answers["stage"] != "exploration":
        run(project, "lint-imports")


@pytest.mark.parametrize("answers", SHAPES.values(), ids=SHAPES)
@pytest.mark.usefixtures("environment")
def test_a_project_passes_its_own_tests(answers: Answers, template: Path, tmp_path: Path) -> None:
    project = render(template, tmp_path / "digits", **answers)
    run(project, "python", "-m", "pytest", "-p", "no:cacheprovider")
