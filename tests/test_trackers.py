"""Each tracker against its real component: a run is read back with the tracker's own reader.

`metrics.jsonl` is the truth that all of them are compared with.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rendering import render
from repository import commit, git
from test_projects import ENVIRONMENT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} isn't there: make test creates it",
    ),
]

STEPS = 100
SETTINGS = [
    f"--training.max-steps={STEPS}",
    "--training.warmup-steps=5",
    "--training.batch-size=16",
    "--training.log-every=2",
    "--training.evaluate-every=20",
    "--checkpoint.every=20",
]

STATUS = {"tensorboard": "finished", "mlflow": "FINISHED", "wandb": "finished"}


@dataclass(frozen=True)
class Project:
    """A rendered project with one tracker, and the environment that its commands run in."""

    folder: Path
    tracker: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def variables(self) -> dict[str, str]:
        """The whole environment; as many threads for each run, since their number shows in bits."""
        own = {"PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"}
        return {**os.environ, **own, **self.environment}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `train` in a process group of its own."""
        return subprocess.Popen(
            [str(ENVIRONMENT / "bin/python"), "-m", "digits.cli", "train", *arguments],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def train(self, *arguments: str) -> str:
        """Train to the end; what it printed."""
        process = self.start(*arguments)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def killed(self, name: str, *arguments: str) -> None:
        """Begin a run, and kill it with SIGKILL between two checkpoints."""
        process = self.start("--run-name", name, *arguments)
        metrics = self.folder / "runs" / name / "metrics.jsonl"
        while process.poll() is None:
            if metrics.exists() and '"step": 52,' in metrics.read_text(encoding="utf-8"):
                break
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was too fast to be killed"

    def metrics(self, name: str) -> dict[int, dict[str, float]]:
        """What `metrics.jsonl` says."""
        text = (self.folder / "runs" / name / "metrics.jsonl").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        return {line.pop("step"): line for line in lines}

    def read(self, name: str) -> dict[str, Any]:
        """What the tracker says of a run, through its own reader."""
        reader = Path(__file__).with_name("readers") / f"read_{self.tracker}.py"
        done = subprocess.run(
            [str(ENVIRONMENT / "bin/python"), str(reader), name],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def assert_tracked(self, name: str) -> dict[str, Any]:
        """The tracker has every logged value of a run, each once, in one tracked run."""
        said = self.read(name)
        assert said["runs"] == 1
        found = sorted(
            (step, metric, value)
            for step, values in said["values"]
            for metric, value in values.items()
        )
        expected = sorted(
            (step, metric, pytest.approx(value, rel=1e-6))  # TensorBoard keeps float32
            for step, values in self.metrics(name).items()
            for metric, value in values.items()
        )
        assert [each[:2] for each in found] == [each[:2] for each in expected]
        assert [each[2] for each in found] == [each[2] for each in expected]
        return said


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until a server answers."""
    while process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health").read()
            return
        time.sleep(0.1)
    raise AssertionError("the server ended before it answered")


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int) -> Generator[subprocess.Popen[bytes]]:
    """A real MLflow server on loopback, with its database and files in a folder."""
    folder.mkdir(exist_ok=True)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(str(ENVIRONMENT / "bin/mlflow"), "server", "--host", "127.0.0.1"),
                *("--port", str(port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{folder}/server.db"),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            cwd=folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(port, process)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


Make = Callable[[str], Project]


@pytest.fixture(scope="session")
def make(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Gives a new project with a tracker, in a repository of its own."""

    def make(tracker: str) -> Project:
        folder = tmp_path_factory.mktemp(tracker) / "digits"
        render(template, folder, tracker=tracker, package_name="digits", starter="blank")
        commit(folder, "Start")
        return Project(folder, tracker)

    return make


@pytest.fixture(scope="module", params=["jsonl", "tensorboard", "mlflow", "wandb", "trackio"])
def project(request: pytest.FixtureRequest, make: Make) -> Project:
    """One project a tracker."""
    return make(request.param)


@pytest.fixture(scope="module")
def served(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose runs go to an MLflow server."""
    port, project = free_port(), make("mlflow")
    with mlflow_server(tmp_path_factory.mktemp("server"), port):
        uri = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"}
        yield Project(project.folder, project.tracker, uri)


def assert_complete(project: Project, name: str) -> None:
    """Metrics, parameters, files, status and commit have all arrived."""
    said = project.assert_tracked(name)
    assert float(said["parameters"]["training"]["max_steps"]) == STEPS
    assert {"config.toml", "run.json"} <= set(said["files"])
    if project.tracker in STATUS:
        assert said["status"] == STATUS[project.tracker]
    if "commit" in said:
        assert said["commit"] == git(project.folder, "rev-parse", "HEAD").strip()


def test_all_that_a_run_says_is_in_the_tracker(project: Project) -> None:
    project.train("--run-name", "whole", *SETTINGS)
    assert sorted(project.metrics("whole")) == list(range(2, STEPS + 1, 2))
    assert_complete(project, "whole")


def test_a_killed_run_goes_on_as_the_same_tracked_run(project: Project) -> None:
    project.killed("killed", *SETTINGS)
    project.train("--resume", "runs/killed")
    assert sorted(project.metrics("killed")) == list(range(2, STEPS + 1, 2))
    assert_complete(project, "killed")


def test_runs_that_start_at_once_are_tracked_one_each(make: Make, project: Project) -> None:
    fresh = make(project.tracker)  # where neither database nor folder is there yet
    fresh.train("--debug")  # validates and prepares the data; the debug run is tracked as well
    processes = {name: fresh.start("--run-name", name, *SETTINGS) for name in ("one", "two")}
    for name, process in processes.items():
        output, _ = process.communicate()
        assert process.returncode == 0, output
        assert "The tracker failed" not in output
        fresh.assert_tracked(name)


def test_nothing_leaves_the_machine_unasked(project: Project) -> None:
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        through = {str(name): address for name in names}
        Project(project.folder, project.tracker, through).train("--run-name", "alone", *SETTINGS)
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has knocked
            proxy.accept()


def test_an_mlflow_server_has_the_run_with_its_files_status_and_commit(served: Project) -> None:
    served.train("--run-name", "whole", *SETTINGS)
    assert_complete(served, "whole")
    served.killed("killed", *SETTINGS)
    served.train("--resume", "runs/killed")
    assert_complete(served, "killed")


def test_a_run_that_was_stopped_says_so_in_mlflow(served: Project) -> None:
    process = served.start("--run-name", "stopped", *SETTINGS, "--training.max-steps=100000")
    metrics = served.folder / "runs/stopped/metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size > 1000):
        time.sleep(0.01)
    process.terminate()
    output, _ = process.communicate()
    assert process.returncode == 75, output
    assert served.read("stopped")["status"] == "KILLED"


def test_a_server_that_goes_away_never_stops_a_run_and_gets_the_rest_later(
    make: Make, tmp_path: Path
) -> None:
    port, project = free_port(), make("mlflow")
    away = Project(project.folder, "mlflow", {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"})
    project.train("--run-name", "unbroken", *SETTINGS)
    with mlflow_server(tmp_path / "server", port) as server:
        process = away.start("--run-name", "away", *SETTINGS)
        metrics = away.folder / "runs/away/metrics.jsonl"
        while not (metrics.exists() and '"step": 10,' in metrics.read_text(encoding="utf-8")):
            assert process.poll() is None
            time.sleep(0.001)
        os.killpg(server.pid, signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert output.count("The tracker failed") == 1
    assert "Traceback" not in output
    assert away.metrics("away") == project.metrics("unbroken")
    with mlflow_server(tmp_path / "server", port):
        away.train("--resume", "runs/away")
        away.assert_tracked("away")


def test_a_server_that_was_never_there_is_said_once(make: Make) -> None:
    project = make("mlflow")
    nowhere = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    output = Project(project.folder, "mlflow", nowhere).train("--run-name", "lone", *SETTINGS)
    assert output.count("The tracker failed") == 1
    assert sorted(project.metrics("lone")) == list(range(2, STEPS + 1, 2))


FOLDERS = {
    "tensorboard": "runs/full/tensorboard",
    "mlflow": "database",
    "wandb": "runs/full/wandb",
    "trackio": "runs/trackio",
}
"""Where a tracker writes, for a disk that is full there and nowhere else."""

IN_A_FULL_FOLDER = 'mount -t tmpfs -o size=8k none "$1" && shift && exec "$@"'


@pytest.mark.skipif(
    os.geteuid() != 0 and "CI" not in os.environ, reason="a disk is mounted, which needs root"
)
@pytest.mark.parametrize("project", FOLDERS, indirect=True)  # jsonl has the run's: test_abuse.py
def test_a_full_disk_under_the_tracker_never_stops_a_run(project: Project) -> None:
    folder = project.folder / FOLDERS[project.tracker]
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    if project.tracker == "mlflow":
        project = Project(project.folder, project.tracker, environment)
        folder.mkdir()
    project.killed("full", *SETTINGS)
    project.train("--run-name", "roomy", *SETTINGS)
    done = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", IN_A_FULL_FOLDER, "sh", str(folder)),
            *(str(ENVIRONMENT / "bin/python"), "-m", "digits.cli", "train"),
            *("--resume", "runs/full"),
        ],
        cwd=project.folder,
        env=project.variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("The tracker failed") <= 1  # wandb and Trackio swallow it themselves
    assert project.metrics("full") == project.metrics("roomy")
    project.train("--resume", "runs/full")  # now there is room for what is missing
    project.assert_tracked("full")


@pytest.mark.parametrize("project", ["wandb"], indirect=True)  # the others have none
def test_a_tracker_whose_process_dies_never_stops_a_run(project: Project) -> None:
    process = project.start("--run-name", "orphan", *SETTINGS, "--training.max-steps=400")
    metrics = project.folder / "runs/orphan/metrics.jsonl"
    while not (metrics.exists() and '"step": 10,' in metrics.read_text(encoding="utf-8")):
        assert process.poll() is None
        time.sleep(0.001)
    subprocess.run(["pkill", "-KILL", "--parent", str(process.pid), "wandb-core"], check=True)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert output.count("The tracker failed") <= 1
    assert sorted(project.metrics("orphan")) == list(range(2, 401, 2))
    project.train("--resume", "runs/orphan")
    project.assert_tracked("orphan")
