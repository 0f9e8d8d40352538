"""Each real tracker: a run is read back with the tracker's own reader or server.

It is compared with metrics.jsonl, which has every value even if the tracker fails.
"""

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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import forks
import pytest
from combinations import CHOICES
from mounts import mounted, needs_mounts
from rendering import render
from repository import commit, git
from studies import ENVIRONMENT, PYTHON

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
    ),
]

STEPS = 60
LOGGED = list(range(2, STEPS + 1, 2))
SETTINGS = [
    f"--training.max-steps={STEPS}",
    "--training.warmup-steps=5",
    "--training.batch-size=16",
    "--training.log-every=2",
    "--training.evaluate-every=20",
    "--checkpoint.every=20",
]
LONG = [*SETTINGS, "--training.max-steps=100000"]  # stopped or killed before its end
STATUS = {"tensorboard": "finished", "mlflow": "FINISHED", "wandb": "finished"}


@dataclass(frozen=True)
class Project:
    folder: Path
    tracker: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def variables(self) -> dict[str, str]:
        """The environment, with one thread, since their number affects the last bits."""
        own = {"PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1"}
        return {**os.environ, **own, **self.environment}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return forks.Popen(
            [str(PYTHON), "-m", "digits.cli", "train", *arguments],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def train(self, *arguments: str) -> str:
        """Train to the end. Returns the output."""
        return finish(self.start(*arguments))

    def wait_for_step(self, name: str, step: int, process: subprocess.Popen[str]) -> None:
        """Wait until the run has logged the step."""
        metrics = self.folder / "runs" / name / "metrics.jsonl"
        while not (metrics.exists() and f'"step": {step},' in metrics.read_text(encoding="utf-8")):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.001)

    def kill(self, name: str) -> None:
        """Start a run, and kill it between two checkpoints."""
        process = self.start("--run-name", name, *SETTINGS)
        self.wait_for_step(name, 32, process)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it ended before it was killed"

    def metrics(self, name: str) -> dict[int, dict[str, float]]:
        """The content of metrics.jsonl."""
        text = (self.folder / "runs" / name / "metrics.jsonl").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        return {line.pop("step"): line for line in lines}

    def read(self, name: str) -> dict[str, Any]:
        """Read a run back with the tracker's own reader."""
        reader = Path(__file__).with_name("readers") / f"read_{self.tracker}.py"
        result = forks.run(
            [str(PYTHON), str(reader), name],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    def assert_tracked(self, name: str) -> None:
        """The tracker has the run once, with each value, parameters, files, status and commit."""
        tracked = self.read(name)
        assert tracked["runs"] == 1
        logged = _values(tracked["values"])
        expected = _values(self.metrics(name).items())
        assert [key for key, _ in logged] == [key for key, _ in expected]
        # TensorBoard has float32 only.
        assert [value for _, value in logged] == pytest.approx([value for _, value in expected])
        assert float(tracked["parameters"]["training"]["warmup_steps"]) == 5
        assert {"config.toml", "run.json"} <= set(tracked["files"])
        if self.tracker in STATUS:
            assert tracked["status"] == STATUS[self.tracker]
        if "commit" in tracked:
            assert tracked["commit"] == git(self.folder, "rev-parse", "HEAD").strip()


def _values(lines: Any) -> list[tuple[tuple[int, str], float]]:
    """Each value by step and metric, sorted, with duplicates."""
    return sorted(
        ((step, metric), value) for step, values in lines for metric, value in values.items()
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait until a process has ended. Returns the output."""
    output, _ = process.communicate()
    assert process.returncode == code, output
    return output


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int) -> Generator[subprocess.Popen[bytes]]:
    """An MLflow server on loopback, with its database and files in a folder."""
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
            env={
                **os.environ,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes fewer
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        while True:
            assert process.poll() is None, (folder / "server.log").read_text(encoding="utf-8")
            with contextlib.suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").read()
                break
            time.sleep(0.1)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


Make = Callable[[str], Project]


@pytest.fixture(scope="session")
def make(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a project with a tracker, in a git repository."""

    def make(tracker: str) -> Project:
        folder = tmp_path_factory.mktemp(tracker) / "digits"
        render(template, folder, tracker=tracker, package_name="digits", starter="blank")
        commit(folder, "Start")
        return Project(folder, tracker)

    return make


@pytest.fixture(
    scope="module", params=[tracker for tracker in CHOICES["tracker"] if tracker != "jsonl"]
)
def project(request: pytest.FixtureRequest, make: Make) -> Project:
    """One project per tracker, with the finished runs `one` and `two`.

    They are started concurrently, before there is a database or a folder, behind a proxy that must
    not receive a request.
    """
    project = make(request.param)
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        behind_proxy = replace(project, environment=dict.fromkeys(names, address))
        processes = [behind_proxy.start("--run-name", name, *SETTINGS) for name in ("one", "two")]
        for process in processes:
            assert "The tracker failed" not in finish(process)
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):  # nothing has connected
            proxy.accept()
    return project


def test_runs_that_start_concurrently_are_tracked_completely_and_send_nothing(
    project: Project,
) -> None:
    for name in ("one", "two"):
        assert sorted(project.metrics(name)) == LOGGED
        project.assert_tracked(name)


def test_a_killed_run_is_resumed_as_the_same_tracked_run(project: Project) -> None:
    project.kill("killed")
    project.train("--resume", "runs/killed")
    assert project.metrics("killed") == project.metrics("one")
    project.assert_tracked("killed")


FOLDERS = {
    "tensorboard": "runs/full/tensorboard",
    "mlflow": "database",
    "wandb": "runs/full/wandb",
    "trackio": "runs/trackio",
}
"""The folder that each tracker writes to, for a disk that is full only there."""


@needs_mounts
def test_a_full_disk_under_the_tracker_never_stops_a_run(project: Project) -> None:
    folder = project.folder / FOLDERS[project.tracker]
    if project.tracker == "mlflow":
        folder.mkdir()
        project = replace(
            project, environment={"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        )
    project.kill("full")
    with mounted(project.folder, f"mount -t tmpfs -o size=8k none '{folder}'") as mounts:
        environment = {**project.environment, **mounts.variables}
        output = replace(project, environment=environment).train("--resume", "runs/full")
    assert output.count("The tracker failed") <= 1  # wandb and Trackio hide the error
    assert project.metrics("full") == project.metrics("one")
    project.train("--resume", "runs/full")  # sends the missing values, now that there is space
    project.assert_tracked("full")


@pytest.mark.parametrize("project", ["wandb"], indirect=True)  # the only one with a process
def test_a_tracker_whose_process_dies_never_stops_a_run(project: Project) -> None:
    process = project.start("--run-name", "orphan", *SETTINGS, "--training.max-steps=400")
    project.wait_for_step("orphan", 10, process)
    subprocess.run(["pkill", "-KILL", "--parent", str(process.pid), "wandb-core"], check=True)
    assert finish(process).count("The tracker failed") <= 1
    assert sorted(project.metrics("orphan")) == list(range(2, 401, 2))
    project.train("--resume", "runs/orphan")
    project.assert_tracked("orphan")


@pytest.fixture(scope="module")
def mlflow(make: Make) -> Project:
    return make("mlflow")


@pytest.fixture(scope="module")
def served(mlflow: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose runs are logged to an MLflow server."""
    port = free_port()
    with mlflow_server(tmp_path_factory.mktemp("server"), port):
        yield replace(mlflow, environment={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"})


def test_an_mlflow_server_has_a_killed_and_resumed_run_only_once(served: Project) -> None:
    served.kill("killed")
    served.train("--resume", "runs/killed")
    served.assert_tracked("killed")


def test_mlflow_shows_a_stopped_run_as_killed(served: Project) -> None:
    process = served.start("--run-name", "stopped", *LONG)
    served.wait_for_step("stopped", 10, process)
    process.terminate()
    finish(process, 75)
    assert served.read("stopped")["status"] == "KILLED"


def test_a_server_that_dies_never_stops_a_run_and_gets_the_missing_values_later(
    mlflow: Project, tmp_path: Path
) -> None:
    port = free_port()
    project = replace(mlflow, environment={"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}"})
    with mlflow_server(tmp_path / "server", port) as server:
        process = project.start("--run-name", "away", *SETTINGS)
        project.wait_for_step("away", 10, process)
        os.killpg(server.pid, signal.SIGKILL)
    without_server = project.start("--run-name", "without", *SETTINGS)
    for output in (finish(process), finish(without_server)):
        assert output.count("The tracker failed") == 1
        assert "Traceback" not in output
    assert sorted(project.metrics("away")) == LOGGED
    assert project.metrics("away") == project.metrics("without")
    with mlflow_server(tmp_path / "server", port):
        project.train("--resume", "runs/away")
        project.assert_tracked("away")
