"""What a training run has to survive: kills, full disks, corrupt files, a second process.

Crash safety of a generated project's `training/`, tested with SIGKILL, full disks and read-only
file systems. What needs torch is in `abuse.py`.
"""

import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import pytest
from mounts import Mounts, mounted, needs_mounts
from rendering import ROOT, render
from repository import tree
from studies import ENVIRONMENT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} doesn't exist: make test creates it",
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

CHECKPOINTS = ("best_and_last", "rolling", "interval")
WRITERS = ("synchronous", "background")
KILLS = 34  # times six combinations: 204, half of them during a write

Settings = dict[str, dict[str, Any]]
Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Project:
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "OMP_NUM_THREADS": "1",  # as many tests run as there are cores
        }

    def start(
        self, *arguments: str, command: str = "train", mounts: Mounts | None = None
    ) -> subprocess.Popen[str]:
        return forks.Popen(
            ["python", "-m", "digits.cli", command, *arguments],
            cwd=self.folder,
            env={**self.environment, **(mounts.variables if mounts else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def train(self, *arguments: str, mounts: Mounts | None = None) -> None:
        """Train to the end."""
        process = self.start(*arguments, mounts=mounts)
        _, errors = process.communicate()
        assert process.returncode == 0, errors

    def refused(self, *arguments: str, mounts: Mounts, command: str = "train") -> str:
        """Run a command that ends with the exit code 1 and one line, which is returned."""
        process = self.start(*arguments, mounts=mounts, command=command)
        _, errors = process.communicate()
        assert process.returncode == 1, errors
        assert "Traceback" not in errors
        assert len(errors.splitlines()) == 1, errors
        return errors

    def abuse(self, scenario: str, scratch: Path, settings: Settings, **arguments: Any) -> Any:
        """Run a scenario of `abuse.py` in a scratch folder. Returns its result."""
        values: dict[str, Any] = {**settings, "cache_dir": str(self.folder / "data/cache")}
        for table in self.folder.glob("data/*.csv"):
            values["data"] = {"path": str(table)}
        result = forks.run(
            [
                *("python", str(ROOT / "tests/abuse.py"), scenario, "--result", "result.json"),
                *("--settings", json.dumps(values), "--arguments", json.dumps(arguments)),
            ],
            cwd=scratch,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return json.loads((scratch / "result.json").read_text(encoding="utf-8"))


Make = Callable[..., Project]


@pytest.fixture(scope="session")
def make(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Renders the project of these answers, only once each."""

    @functools.cache
    def make(
        checkpoint: str = "rolling", checkpoint_writer: str = "background", starter: str = "blank"
    ) -> Project:
        answers = {"checkpoint": checkpoint, "checkpoint_writer": checkpoint_writer}
        folder = tmp_path_factory.mktemp("project") / "digits"
        render(template, folder, package_name="digits", starter=starter, **answers)
        (folder / "runs").mkdir()
        return Project(folder)

    return make


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, if possible.

    A SIGKILL loses nothing that a process has passed to the kernel, so a disk would give the same
    result, but most of the time would be spent on flushing.
    """
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


SHORT: Settings = {
    "model": {"hidden": 256},
    "training": {
        "max_steps": 45,
        "warmup_steps": 5,
        "batch_size": 16,
        "log_every": 5,
        "evaluate_every": 15,
    },
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_runs_killed_at_any_time_resume_from_the_newest_checkpoint_with_bit_identical_results(
    checkpoint: str, writer: str, make: Make, scratch: Path, record_property: Record
) -> None:
    period = {"minutes": 0.0003} if checkpoint == "interval" else {"every": 3}
    seed = CHECKPOINTS.index(checkpoint) * len(WRITERS) + WRITERS.index(writer)
    result = make(checkpoint, writer).abuse(
        "kills", scratch, {**SHORT, "checkpoint": period}, seed=seed, count=KILLS
    )
    assert result["problems"] == []
    assert result["kills"] >= KILLS
    assert result["during write"] >= KILLS / 2
    counts = ", ".join(f"{count} {when}" for when, count in result.items() if when != "problems")
    record_property(f"{checkpoint}, {writer}", counts)


def test_a_corrupt_checkpoint_is_never_read_and_can_be_saved_again(
    make: Make, scratch: Path
) -> None:
    result = make().abuse("corruption", scratch, {})
    assert result.pop("a pickle") == [1, [2], 2, False]
    assert len(result) > 10
    assert {name: steps for name, steps in result.items() if steps != [1, [2], 2]} == {}


OPTIONS = ["--training.warmup-steps=5", "--training.batch-size=16"]
FULL_DISKS = {
    "checkpoints": (
        200,  # KiB: two checkpoints of 68, and the other files of a run
        ["--training.max-steps=60", "--training.log-every=20", "--training.evaluate-every=30"],
        10,
    ),
    "metrics": (
        48,
        ["--training.max-steps=300", "--training.log-every=1", "--training.evaluate-every=300"],
        300,
    ),
}


def intact(run: Path) -> list[int]:
    """The steps with a checkpoint. Fails if one doesn't match its manifest."""
    steps: list[int] = []
    for folder in sorted((run / "checkpoints").glob("step_*")):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name, checksum in manifest.items():
            content = (folder / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == checksum, f"{folder / name}"
        steps.append(int(folder.name.removeprefix("step_")))
    return steps


def result_of(run: Path) -> dict[str, bytes]:
    """What has to be equal at the end of two runs."""
    last = sorted((run / "checkpoints").glob("step_*"))[-1]
    return {**tree(last), "metrics.jsonl": (run / "metrics.jsonl").read_bytes()}


@needs_mounts
@pytest.mark.parametrize(
    ("first", "writer"),
    [("checkpoints", "synchronous"), ("checkpoints", "background"), ("metrics", "background")],
)
def test_a_full_disk_is_reported_in_one_line_and_with_space_the_run_resumes(
    first: str, writer: str, make: Make, tmp_path: Path
) -> None:
    size, settings, every = FULL_DISKS[first]
    settings = [*OPTIONS, *settings, f"--checkpoint.every={every}"]
    project = make("rolling", writer)
    with mounted(project.folder, f"mount -t tmpfs -o size={size}k tmpfs runs") as mounts:
        errors = project.refused("--run-name", "full", *settings, mounts=mounts)
        assert "No space left on device" in errors
        mounts.shell('cp -a runs/full "$1"; mount -o remount,size=64m runs', tmp_path / "broken")
        project.train("--resume", "runs/full", mounts=mounts)
        project.train("--run-name", "uninterrupted", *settings, mounts=mounts)
        mounts.shell('cp -a runs/* "$1"', tmp_path)
    assert intact(tmp_path / "broken") == ([10, 20] if first == "checkpoints" else [])
    assert not list((tmp_path / "broken/checkpoints").glob(".tmp-*"))
    assert result_of(tmp_path / "full") == result_of(tmp_path / "uninterrupted")


@needs_mounts
def test_starting_and_resuming_on_a_full_disk_is_refused_in_one_line_and_loses_nothing(
    make: Make, tmp_path: Path
) -> None:
    settings = [*OPTIONS, *FULL_DISKS["checkpoints"][1], "--checkpoint.every=10"]
    project = make("rolling", "synchronous")
    with mounted(project.folder, "mount -t tmpfs -o size=4m tmpfs runs") as mounts:
        project.train("--run-name", "one", *settings, mounts=mounts)
        mounts.shell(
            """
            rm -r runs/one/checkpoints/step_00000060
            cp -a runs "$1/before"
            dd if=/dev/zero of=runs/filler 2> /dev/null || true
            """,
            tmp_path,
        )
        for arguments in (["--resume", "runs/one"], ["--run-name", "two", *settings]):
            errors = project.refused(*arguments, mounts=mounts)
            assert "No space left on device" in errors
        mounts.shell('rm runs/filler; cp -a runs "$1/after"', tmp_path)
        project.train("--resume", "runs/one", mounts=mounts)
    assert intact(tmp_path / "after/one") == intact(tmp_path / "before/one")
    before, after = tree(tmp_path / "before"), tree(tmp_path / "after")
    assert before.items() <= after.items()
    assert not [path for path in after if "two" in path]


READ_ONLY = """
mount --bind runs/read-only runs/read-only
mount -o remount,bind,ro runs/read-only
"""


@needs_mounts
def test_a_read_only_run_is_refused_and_left_unchanged(make: Make) -> None:
    project = make()
    run = project.folder / "runs/read-only"
    shutil.rmtree(run, ignore_errors=True)
    project.train("--run-name", run.name, *OPTIONS, "--training.max-steps=20")
    before = tree(run)
    with mounted(project.folder, READ_ONLY) as mounts:
        errors = project.refused("--resume", "runs/read-only", mounts=mounts)
        assert "runs/read-only" in errors
        assert "Read-only file system" in errors
        errors = project.refused("runs/read-only", command="evaluate", mounts=mounts)
        assert "runs/read-only/metrics.json: Read-only file system" in errors
    assert tree(run) == before


def test_a_second_process_is_refused_until_the_first_is_killed(make: Make) -> None:
    project = make()
    steps = ["--training.max-steps=500", "--checkpoint.every=100"]
    first = project.start("--run-name", "one", *OPTIONS, *steps)
    metrics = project.folder / "runs/one/metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and first.poll() is None:
        time.sleep(0.001)
    first.send_signal(signal.SIGSTOP)  # keeps the lock for as long as the second one takes
    assert first.poll() is None, "it ended before it was stopped"
    second = project.start("--resume", "runs/one")
    _, errors = second.communicate()
    assert second.returncode == 3
    assert errors.splitlines() == ["runs/one is in use by another process; wait, or stop it"]
    first.kill()
    first.communicate()
    project.train("--resume", "runs/one")
    assert max(intact(project.folder / "runs/one")) == 500


def test_workers_of_a_killed_run_release_its_lock_and_end(
    make: Make, scratch: Path, record_property: Record
) -> None:
    settings: Settings = {"training": {"max_steps": 100_000, "workers": 2}}
    result = make().abuse("orphans", scratch, settings)
    assert result["workers"] == 2
    record_property("workers of a killed run", f"ended {result['seconds']:.1f} s after it")


SHORT_TRAINING = {
    "blank": {"max_steps": 20, "batch_size": 16},  # 7 batches per epoch
    "image": {"max_steps": 27, "batch_size": 128},  # 11
}


def short_training(starter: str) -> dict[str, Any]:
    """Training settings for two epochs and some steps of a third."""
    return {**SHORT_TRAINING[starter], "warmup_steps": 5, "log_every": 1, "evaluate_every": 5}


@pytest.mark.parametrize("starter", SHORT_TRAINING)
def test_any_number_of_workers_gives_the_same_batches_and_bit_identical_results(
    starter: str, make: Make, scratch: Path
) -> None:
    result = make(starter=starter).abuse("batches", scratch, {"training": short_training(starter)})
    drawn, trained = result["drawn"], result["trained"]
    assert len(set(drawn["0"])) == 3 * result["per epoch"], "all batches differ"
    assert drawn["0"] == drawn["1"] == drawn["4"]
    assert trained["0"] == trained["1"] == trained["4"]


@pytest.mark.parametrize(
    ("starter", "checkpoint", "writer", "mode"),
    [
        ("image", "best_and_last", "synchronous", {}),
        ("blank", "rolling", "background", {"parts": 2}),
        ("blank", "rolling", "background", {"precision": "bfloat16"}),
    ],
)
def test_a_run_killed_at_a_certain_step_resumes_from_there(
    starter: str, checkpoint: str, writer: str, mode: dict[str, Any], make: Make, scratch: Path
) -> None:
    settings: Settings = {
        "training": {**short_training(starter), "device": "cpu", **mode},
        "checkpoint": {"every": 1},
    }
    result = make(checkpoint, writer, starter).abuse("kill_steps", scratch, settings)
    assert len(result) == 4
    for when, run in result.items():
        assert run["latest"] == run["resumed from"] == run["killed after"], when
        assert run["equal"], when
        assert run["unchanged"] == (when == "at the last step"), when


def test_the_background_writer_copies_writes_one_at_a_time_and_reports_failures(
    make: Make, scratch: Path
) -> None:
    result = make(checkpoint_writer="background").abuse("background", scratch, {})
    assert [guarantee for guarantee, holds in result.items() if not holds] == []


@pytest.mark.parametrize(("writer", "steps"), [("synchronous", 20), ("background", 40)])
def test_a_checkpoint_that_cannot_be_written_stops_the_run_by_the_next_checkpoint(
    writer: str, steps: int, make: Make, scratch: Path
) -> None:
    settings: Settings = {"training": {"max_steps": 200}, "checkpoint": {"every": 20}}
    result = make(checkpoint_writer=writer).abuse("write_failure", scratch, settings)
    assert result["steps"] == steps
    assert "couldn't write runs/failing/checkpoints/step_00000020" in result["message"]
    assert result["cause"] == "NotADirectoryError"
