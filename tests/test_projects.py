"""Generated projects pass their own checks, whatever two answers meet in one of them.

They run in `.venv-project`, which holds what any of them needs, without being installed.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

import pytest
from combinations import CHOICES, Answers, catalogue_of, covering, title
from living import edit
from rendering import ROOT, render
from repository import NEWEST, commit, copy, releases, update

ENVIRONMENT = Path(os.environ.get("PROJECT_VENV", ROOT / ".venv-project"))


def meeting(*names: str) -> list[Answers]:
    """Few projects in which every two answers to these questions meet; the others occur in turn.

    A tracker, a strategy and a writer meet the other parts through their Protocols alone, and
    test_trackers.py and test_abuse.py have each by itself.
    """
    turns = {name: itertools.cycle(CHOICES[name]) for name in CHOICES if name not in names}
    return [
        {**row, **{name: next(turn) for name, turn in turns.items()}} for row in covering(names)
    ]


COMBINATIONS = {title(each): each for each in meeting("stage", "starter", "config")}


def shapes() -> list[tuple[str, Answers]]:
    """Each starter with each config, and how each project came about: fresh, or by an update."""
    rows = meeting("starter", "config")
    return [(origin(number, row), row) for number, row in enumerate(rows)]


def origin(number: int, answers: Answers) -> str:
    """How a project came about: fresh, or updated from a release that offered these answers."""
    offering = [
        release.version
        for release in releases()
        if all(answers[q.name] in q.values for q in catalogue_of(release).questions)
    ]
    return ["fresh", *reversed(offering)][number % (len(offering) + 1)]


SHAPES = {f"{came}-{title(answers)}": (came, answers) for came, answers in shapes()}

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


def add_tests_of_the_starter(project: Path, starter: str) -> None:
    """Tests of what the owner replaces; in a project they would be in the way."""
    text = (ROOT / "choices/starter" / starter / "test_source.py.jinja").read_text(encoding="utf-8")
    (package,) = (project / "src").iterdir()
    text = text.replace("{{ package_name }}", package.name)
    (project / "tests/test_source.py").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("came", "answers"), SHAPES.values(), ids=SHAPES)
@pytest.mark.usefixtures("environment")
def test_a_project_passes_its_own_tests(
    came: str, answers: Answers, template: Path, repository: Path, tmp_path: Path
) -> None:
    project = tmp_path / "digits"
    if came == "fresh":
        render(template, project, **answers)
        add_tests_of_the_starter(project, answers["starter"])
    else:
        copy(repository, project, came, **answers)
        edit(project)
        commit(project, "Mine")
        update(project, NEWEST)
    run(project, "python", "-m", "pytest", "-p", "no:cacheprovider")
    take_every_step(project)


def take_every_step(project: Path) -> None:
    """The workflow as a person goes through it; tests/test_resume.py kills and resumes.

    tests/test_studies.py has steps 5 and 6.
    """
    (package,) = (project / "src").iterdir()
    script = next((project / "scripts/throwaway").glob("*.py"))
    run(project, "python", str(script))
    for command in (
        ["validate"],
        ["features"],
        ["overfit", "--config", "configs/overfit.toml"],
        ["train", "--config", "configs/small.toml", "--training.max-steps", "60"],
        ["evaluate", "runs/small"],
        ["train", "--profile"],
        ["train", "--debug"],
    ):
        run(project, "python", "-m", f"{package.name}.cli", *command)
    for name in (
        *("explore.png", "features.png", "profile/trace.json"),
        *("small/outcome.json", "small/report.html", "small/predictions.csv"),
    ):
        assert (project / "runs" / name).is_file(), name
    assert list(project.glob("data/cache/*/examples.csv")) != []
