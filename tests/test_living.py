"""After an update of a project in use, its tests pass and its runs can be resumed."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forks
import pytest
from combinations import catalogue_of
from living import IGNORED, append, edit, ignored, switched_together
from repository import EARLIER, NEWEST, NOBODY, commit, copy, git, tree, update, updated_from
from test_projects import ENVIRONMENT, SMALL, run

from ml_architect.generate.repository import back

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
    ),
]

SHORT = [
    "--config=configs/small.toml",
    "--run-name=half",
    "--training.max-steps=120",
    "--training.warmup-steps=10",
    "--training.evaluate-every=40",
]
QUICK = ["-p", "no:cacheprovider", "--ignore=tests/test_resume.py"]
"""The project's own tests, without those that kill runs: test_projects.py has them."""

RESUME = ["train", "--resume", "runs/half"]


@pytest.fixture(scope="session")
def template(repository: Path) -> Path:
    """The template's repository, with every release and the working tree."""
    return repository


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start one of the project's commands."""
    return forks.Popen(
        [forks.PYTHON, "-m", "digits.cli", *arguments],
        cwd=project,
        env={
            **os.environ,
            "PYTHONPATH": str(project / "src"),
            "OMP_NUM_THREADS": "1",
            "WANDB_MODE": "offline",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a command. Returns its exit code and its output."""
    output, _ = process.communicate()
    return process.returncode, output


def start_and_interrupt(project: Path) -> None:
    """Start a run, and stop it with SIGTERM before its end."""
    process = start(project, "train", *SHORT)
    metrics = project / "runs/half/metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and '"step": 40,' in metrics.read_text(encoding="utf-8"):
            process.terminate()
            break
        time.sleep(0.005)
    code, output = finish(process)
    assert code == 75, output


def final_digests(project: Path) -> dict[str, str]:
    """Digests of the last checkpoint."""
    last = project / "runs/half/checkpoints/step_00000120"
    names = ("model.safetensors", "optimizer.safetensors", "state.json")
    return {name: hashlib.sha256((last / name).read_bytes()).hexdigest() for name in names}


@pytest.fixture(scope="session")
def uninterrupted(template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The last checkpoint of a run that wasn't interrupted."""
    project = copy(template, tmp_path_factory.mktemp("uninterrupted") / "digits", NEWEST)
    edit(project)
    code, output = finish(start(project, "train", *SHORT))
    assert code == 0, output
    return final_digests(project)


@pytest.mark.parametrize(
    ("old", "new"),
    switched_together(),
    ids=lambda answers: "-".join(answers.values()),
)
def test_a_resumed_run_is_identical_after_answers_have_changed(
    old: dict[str, str],
    new: dict[str, str],
    template: Path,
    uninterrupted: dict[str, str],
    tmp_path: Path,
) -> None:
    project = copy(template, tmp_path / "digits", NEWEST, **old)
    edit(project)
    commit(project, "Mine")
    start_and_interrupt(project)
    update(project, NEWEST, **new)
    code, output = finish(start(project, *RESUME))
    assert code == 0, output
    assert final_digests(project) == uninterrupted


@pytest.mark.parametrize(
    ("version", "starter"),
    [
        (release.version, starters[number % len(starters)])
        for number, release in enumerate(updated_from())
        for starters in [catalogue_of(release).question("starter").values]
    ],
)
def test_an_updated_project_works_and_its_run_is_resumed_or_refused_with_a_reason(
    version: str, starter: str, template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", version, starter=starter)
    edit(project)
    append(project / "configs/small.toml", SMALL.get(starter, ""))
    commit(project, "Mine")
    start_and_interrupt(project)
    reference = shutil.copytree(project, tmp_path / "reference/digits", symlinks=True)
    update(project, NEWEST)
    code, output = finish(start(project, *RESUME))
    if code == 0:
        assert finish(start(reference, *RESUME))[0] == 0
        assert final_digests(project) == final_digests(reference)
    else:
        assert code == 2, output
        assert "--allow-changes" in output
        assert tree(project / "runs") == tree(reference / "runs")
    run(project, "ruff", "check")
    run(project, "python", "-m", "pytest", *QUICK)


# --- an update that is killed -------------------------------------------------------------------

OURS = ["-c", "import sys; from ml_architect.cli import main; sys.exit(main())", "update", "--yes"]
PLAIN = ["-m", "copier", "update", "--trust", "--defaults"]


def slow_down(project: Path) -> None:
    """Let git take a while for each file, or no signal would arrive while it writes."""
    git(project, "config", "filter.slow.smudge", "sleep 0.02; cat")
    (project / ".git/info/attributes").write_text("*.py filter=slow\n", encoding="utf-8")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("tool", ["ml-architect", "copier"])
def test_git_restores_a_project_after_a_killed_update_which_can_then_be_repeated(
    tool: str, template: Path, tmp_path: Path
) -> None:
    command = [sys.executable, *(PLAIN if tool == "copier" else [*OURS, "--template", template])]
    start = copy(template, tmp_path / "start" / "digits", EARLIER)
    edit(start)
    commit(start, "Mine")
    if tool == "ml-architect":
        slow_down(start)
    before = tree(start)
    reference = shutil.copytree(start, tmp_path / "reference" / "digits", symlinks=True)
    started = time.monotonic()
    subprocess.run(command, cwd=reference, env={**os.environ, **NOBODY}, check=True)
    duration = time.monotonic() - started
    after = tree(reference)
    assert after != before

    rng, num_partial = random.Random(0), 0
    for number in range(4):
        project = shutil.copytree(start, tmp_path / str(number) / "digits", symlinks=True)
        process = subprocess.Popen(
            command,
            cwd=project,
            env={**os.environ, **NOBODY},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if number % 2:  # while it writes
            while process.poll() is None and tree(project) == before:
                time.sleep(0.002)
            time.sleep(rng.random() * duration / 8)
        else:
            time.sleep(rng.random() * duration)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        is_partial = tree(project) not in (before, after)
        if is_partial:
            num_partial += 1
            if tool == "ml-architect" and not (project / ".git/index.lock").exists():
                result = subprocess.run(command, cwd=project, capture_output=True, text=True)
                assert result.returncode == 2
                assert "an update was killed there" in result.stderr
                assert result.stderr.rstrip().endswith("git stash --include-untracked")
        restore(project)
        assert tree(project) == before
        assert ignored(project) == IGNORED
        if is_partial:
            subprocess.run(
                command,
                cwd=project,
                env={**os.environ, **NOBODY},
                stdout=subprocess.DEVNULL,
                check=True,
            )
            assert tree(project) == after
    assert num_partial, "no kill interrupted the writing, so the test is vacuous"


def restore(project: Path) -> None:
    """Undo a partial update with the command in the message."""
    (project / ".git/index.lock").unlink(missing_ok=True)
    subprocess.run(back(project), shell=True, cwd=project, stdout=subprocess.DEVNULL, check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C doesn't send SIGINT there")
def test_an_update_that_is_stopped_by_ctrl_c_changes_nothing(
    template: Path, tmp_path: Path
) -> None:
    project = copy(template, tmp_path / "digits", EARLIER)
    edit(project)
    commit(project, "Mine")
    slow_down(project)
    before = tree(project)
    code, error = 0, ""
    for _ in range(5):  # on a busy machine, the signal may come too late
        restore(project)
        process = subprocess.Popen(
            [sys.executable, *OURS, "--template", template],
            cwd=project,
            env={**os.environ, **NOBODY},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        while process.poll() is None and tree(project) == before:
            time.sleep(0.002)
        assert tree(project) != before
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate()
        if code := process.returncode:
            break
    assert code == 130, error
    assert error == "stopped; nothing was written\n"
    assert tree(project) == before
    assert git(project, "status", "--porcelain") == ""
