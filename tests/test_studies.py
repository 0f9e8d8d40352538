"""Studies of generated projects: killed, stopped, shared; by the real command line.

They run in `.venv-project`, on runs of a second or two.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rendering import ROOT, render

ENVIRONMENT = Path(os.environ.get("PROJECT_VENV", ROOT / ".venv-project"))
PASSWORD = "s3cret-of-the-trials"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} isn't there: make test creates it",
    ),
]

BASE = """
[training]
batch_size = 16
max_steps = 60
warmup_steps = 5
evaluate_every = 10
log_every = 5
"""
CONFIGS = {
    "scale": f"{BASE}\n[scale]\nshares = [0.25, 1.0]\n",
    "tune": f"{BASE}\n[tune]\ntrials = 5\n[tune.space]\n"
    "training.learning_rate = { low = 1e-3, high = 1e-1, log = true }\n"
    "training.weight_decay = { low = 0.0, high = 0.1 }\n",
    "ablate": f"{BASE}\n[ablate]\nseeds = [0, 1]\n[ablate.changes]\n"
    '"without decay" = { training.weight_decay = 0.0 }\n',
}


@pytest.fixture(scope="module", params=["image", "blank"])
def project(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A project with short studies, whose records are prepared."""
    made = render(template, tmp_path_factory.mktemp("studies") / "digits", starter=request.param)
    for name, text in CONFIGS.items():
        (made / f"configs/{name}.toml").write_text(text, encoding="utf-8")
    done = finish(start(made, "validate"))
    assert done.returncode == 0, done.stdout
    return made


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """Begin one of a project's commands, in a process group of its own."""
    (package,) = (project / "src").iterdir()
    return subprocess.Popen(
        [ENVIRONMENT / "bin" / "python", "-m", f"{package.name}.cli", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for its end."""
    said, _ = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, said)


def study(project: Path, name: str, *more: str) -> subprocess.Popen[str]:
    """Begin a study with the config of its name."""
    return start(project, name, "--config", f"configs/{name}.toml", *more)


def once(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    """Wait for something while the process lives. Raises AssertionError if it doesn't happen."""
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def logged(folder: Path) -> int:
    """How many of a study's runs have begun to train."""
    return sum(path.stat().st_size > 0 for path in folder.glob("*/metrics.jsonl"))


def assert_each_was_trained_once(folder: Path, runs: int, broken_off: int = 0) -> None:
    """Every run has its steps once and in order; only those that were broken off began again."""
    starts = 0
    files = sorted(folder.glob("*/run.json"))
    assert len(files) == runs
    for file in files:
        recorded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        starts += len(recorded["continued"])
        lines = (file.parent / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        steps = [json.loads(line)["step"] for line in lines]
        assert steps == sorted(set(steps))
    assert runs <= starts <= runs + broken_off


def test_a_ladder_is_climbed_once(project: Path) -> None:
    first = finish(study(project, "scale", "--processes", "2"))
    assert first.returncode in {0, 1}, first.stdout  # such short runs need not improve
    folder = project / "runs/scale"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*")}
    second = finish(study(project, "scale"))
    assert second.returncode == first.returncode
    assert "2 of 2 runs have ended already." in second.stdout
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/*")} == before
    assert (folder / "curve.png").is_file()
    assert (folder / "report.html").is_file()
    assert_each_was_trained_once(folder, 2)


@pytest.mark.parametrize("project", ["image"], indirect=True)
def test_tuning_survives_the_death_of_everything_and_of_the_study_alone(project: Path) -> None:
    folder = project / "runs/tune"
    killed = study(project, "tune")
    once(killed, lambda: logged(folder) >= 1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()

    alone = study(project, "tune", "--processes", "2")
    once(alone, lambda: logged(folder) >= 3)
    os.kill(alone.pid, signal.SIGKILL)  # what it trained goes on without it
    alone.wait()

    done = finish(study(project, "tune", "--processes", "2"))
    assert done.returncode == 0, done.stdout
    assert "Passed: 5 trials" in done.stdout
    assert_each_was_trained_once(folder, 5, broken_off=3)
    best = start(project, "train", "--config", "runs/tune/best.toml", "--run-name", "tuned")
    assert finish(best).returncode == 0
    again = finish(study(project, "tune"))
    assert "5 of 5 trials are done already." in again.stdout


@pytest.mark.parametrize("project", ["blank"], indirect=True)
@pytest.mark.parametrize("told", ["alone", "with its runs"])
def test_an_ablation_that_is_stopped_goes_on(project: Path, told: str) -> None:
    name = told.replace(" ", "-")
    folder = project / "runs" / name
    stopped = study(project, "ablate", "--study", name)
    once(stopped, lambda: logged(folder) >= 2)
    if told == "alone":
        os.kill(stopped.pid, signal.SIGTERM)
    else:
        os.killpg(stopped.pid, signal.SIGINT)  # as a terminal does
    left = finish(stopped)
    assert left.returncode == 75, left.stdout
    assert f"ablate --config configs/ablate.toml --study {name}" in left.stdout

    done = finish(study(project, "ablate", "--study", name))
    assert done.returncode == 0, done.stdout
    assert "without decay: " in done.stdout
    assert "| without decay |" in (folder / "table.md").read_text(encoding="utf-8")
    assert_each_was_trained_once(folder, 4, broken_off=1)


@pytest.fixture
def database() -> Iterator[str]:
    """A real PostgreSQL with a cluster of its own. Gives its URL, password included."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    where = found[-1] if found else shutil.which("initdb")
    if where is None and "CI" not in os.environ:
        pytest.skip("PostgreSQL isn't there: apt-get install postgresql")
    assert where is not None, "PostgreSQL isn't there: apt-get install postgresql"
    programs = Path(where).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's are closed to other users
    secret, data = folder / "password", folder / "data"
    secret.write_text(PASSWORD, encoding="utf-8")
    other: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:  # as whom it refuses to run
        other |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        for path in (folder, secret):
            shutil.chown(path, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "log").open("wb")
    with log:
        begin = [programs / "initdb", "-D", data, "-U", "trials", "--auth", "scram-sha-256"]
        made = subprocess.Popen(
            [*begin, "--pwfile", secret, "--no-sync"], stdout=log, stderr=log, **other
        )
        assert made.wait() == 0, (folder / "log").read_text(encoding="utf-8")
        options = [f"-p{port}", "-hlocalhost", "-cunix_socket_directories=", "-cfsync=off"]
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], stdout=log, stderr=log, **other
        )
    try:
        ready = [programs / "pg_isready", "-q", "-h", "localhost", "-p", str(port)]
        while subprocess.run(ready).returncode:
            assert server.poll() is None, (folder / "log").read_text(encoding="utf-8")
            time.sleep(0.1)
        yield f"postgresql+psycopg://trials:{PASSWORD}@localhost:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # its fast way to stop
        server.wait()
        shutil.rmtree(folder)


@pytest.mark.parametrize("project", ["image"], indirect=True)
def test_two_processes_share_a_study_in_a_database(project: Path, database: str) -> None:
    more = ("--study", "shared", "--storage", database)
    both = [study(project, "tune", *more), study(project, "tune", *more)]
    ends = [finish(process) for process in both]
    for done in ends:
        assert done.returncode == 0, done.stdout
        assert "Passed: 5 trials" in done.stdout
        assert "trial-0" in done.stdout, "each had its part"
    assert_each_was_trained_once(project / "runs/shared", 5)

    wrong = database.replace(PASSWORD, f"{PASSWORD}-wrong")
    refused = finish(study(project, "tune", "--study", "refused", "--storage", wrong))
    nobody = database.rpartition(":")[0] + ":1/postgres"
    absent = finish(study(project, "tune", "--study", "absent", "--storage", nobody))
    for done in (refused, absent):
        assert done.returncode == 2, done.stdout
        assert done.stdout.startswith("--storage postgresql+psycopg://trials:***@localhost"), done
        assert done.stdout.count("\n") == 1, done.stdout
    texts = [done.stdout for done in (*ends, refused, absent)]
    files = [path for path in (project / "runs").rglob("*") if path.is_file()]
    texts += [path.read_text(encoding="utf-8", errors="replace") for path in files]
    assert not any(PASSWORD in text for text in texts)
