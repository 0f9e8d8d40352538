"""Generated projects pass their own checks and tests, and every step of the workflow.

They run in `.venv-project`, which has what any of them needs; they aren't installed.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

import forks
import pytest
from combinations import CHOICES, Answers, covering, is_valid, title
from living import append
from rendering import ROOT, render

ENVIRONMENT = Path(os.environ.get("PROJECT_VENV", ROOT / ".venv-project"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
    ),
]


def in_turn(rows: list[Answers], *names: str) -> list[Answers]:
    """Rows of answers to these questions, each completed with the next answers to the others.

    Trackers, checkpoint strategies and writers have tests of their own: test_trackers.py and
    test_abuse.py.
    """
    turns = {name: itertools.cycle(CHOICES[name]) for name in CHOICES if name not in names}
    completed: list[Answers] = []
    for row in rows:
        answers = {**row, **{name: next(turn) for name, turn in turns.items()}}
        while not is_valid(answers):
            answers["devices"] = next(turns["devices"])
        completed.append(answers)
    return completed


QUESTIONS = ("stage", "starter", "config")
COMBINATIONS = {title(row): row for row in in_turn(covering(QUESTIONS), *QUESTIONS)}
"""Projects that contain every pair of answers to these questions."""

SUITES = {
    row["starter"]: row
    for row in in_turn(
        [
            {"stage": "prototype", "starter": "image", "config": "pydantic"},
            {"stage": "production", "starter": "tabular", "config": "dataclass"},
            {"stage": "prototype", "starter": "language_model", "config": "pydantic"},
            {"stage": "production", "starter": "blank", "config": "dataclass"},
        ],
        *QUESTIONS,
    )
}
"""Each starter once; the own tests exist from prototype on. Updated projects: test_living.py."""

LEFT_OUT = {
    "image": "",
    "tabular": "test_resume",
    "language_model": "signal or uninterrupted_one and 2 or first_checkpoint or corrupt_checkpoint",
    "blank": "test_resume",
}
"""Slow tests of code that starters share: text is read by its own, a table as images are.
test_abuse.py kills runs of the blank starter."""

SMALL = {"language_model": "\n[data]\ncontext = 32\n\n[model]\nsize = 1\nngrams = 1\n"}
"""Added to configs/small.toml, so that it takes a minute: the tests use the owner's settings."""

NEW_DATA = {
    "image": (b"P5 8 8 255\n" + bytes(range(0, 256, 4)), "digit.pgm"),
    "tabular": (
        b"age,sex,bmi,blood_pressure,tc,ldl,hdl,tch,ltg,glu\n59,2,32.1,101,157,93.2,38,4,4.8,87\n",
        "patients.csv",
    ),
    "language_model": (b"def main() -> None:\n", "main.py"),
    "blank": (
        b"id,sepal_length,sepal_width,petal_length,petal_width\n1,5.1,3.5,1.4,0.2\n",
        "irises.csv",
    ),
}
"""One example without a target, and the name of a file for it."""


def run(project: Path, *command: str) -> str:
    """What one of a project's commands prints; if it fails, in an AssertionError."""
    start = forks.run if command[0] == "python" else subprocess.run
    done = start(
        [*command],
        cwd=project,
        env={
            **os.environ,
            "PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(project / "src"),
            "OMP_NUM_THREADS": "1",  # as many projects run at once as there are cores
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="session")
def environment() -> Path:
    """Where the tools of generated projects are."""
    assert ENVIRONMENT.exists(), f"{ENVIRONMENT} doesn't exist: make test creates it"
    return ENVIRONMENT


@pytest.mark.parametrize("answers", COMBINATIONS.values(), ids=COMBINATIONS)
@pytest.mark.usefixtures("environment")
def test_a_project_passes_its_linter_and_formatter(
    answers: Answers, template: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "digits", **answers)
    run(project, "ruff", "check")
    run(project, "ruff", "format", "--check")


@pytest.mark.parametrize("stage", CHOICES["stage"])
def test_a_project_passes_its_type_checker(
    stage: str, template: Path, environment: Path, tmp_path: Path
) -> None:
    """With the settings of its stage and its tests; test_types.py checks every alternative."""
    starter = CHOICES["starter"][CHOICES["stage"].index(stage)]
    project = render(template, tmp_path / "digits", stage=stage, starter=starter)
    run(project, "pyright", "--pythonpath", str(environment / "bin" / "python"))


@pytest.mark.parametrize("starter", SUITES)
@pytest.mark.usefixtures("environment")
def test_a_project_passes_its_own_tests_and_every_step(
    starter: str, template: Path, tmp_path: Path
) -> None:
    project = render(template, tmp_path / "digits", **SUITES[starter])
    append(project / "configs/small.toml", SMALL.get(starter, ""))
    options = ["-k", f"not ({LEFT_OUT[starter]})"] if LEFT_OUT[starter] else []
    run(project, "python", "-m", "pytest", "-p", "no:cacheprovider", "--quiet", *options)
    take_every_step(project, starter)


def take_every_step(project: Path, starter: str) -> None:
    """The workflow; tests/test_studies.py has steps 5 and 6."""
    (package,) = (project / "src").iterdir()
    new_data, name = NEW_DATA[starter]
    (project / name).write_bytes(new_data)
    run(project, "python", "scripts/throwaway/explore.py")
    context = ["--data.context", "32"] if starter == "language_model" else []  # faster
    for command in (
        ["validate"],
        ["features"],
        ["overfit", "--config", "configs/overfit.toml", *context],
        ["train", "--config", "configs/small.toml", "--training.max-steps", "60"],
        ["evaluate", "runs/small"],
        ["predict", "runs/small", name],
        ["train", "--config", "configs/small.toml", "--debug"],
    ):
        run(project, "python", "-m", f"{package.name}.cli", *command)
    for output in (
        *("predictions.csv", "runs/explore.png", "runs/features.png"),
        *("runs/small/outcome.json", "runs/small/metrics.json", "runs/small/predictions.csv"),
    ):
        assert (project / output).is_file(), output
    (_, *rows) = (project / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert rows != []
    assert list(project.glob("data/cache/*/examples.csv")) != []
