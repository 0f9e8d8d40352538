"""What a training run has to survive: kills, full disks, a second process, an end at any step.

The promises of a generated project's `training/` against the real thing: SIGKILL, a file system
without room, one that is read-only. What needs torch happens in `abuse.py`.
"""

from __future__ import annotations

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

import pytest
from rendering import ROOT, render
from repository import tree
from test_projects import ENVIRONMENT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists() and "CI" not in os.environ,
        reason=f"{ENVIRONMENT} isn't there: make test creates it",
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc"),
]

UNSHARE = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]


TRAIN = 'train() { python -m digits.cli train "$@"; }\n'


def can_mount() -> bool:
    """Whether a file system can be mounted that this process alone sees."""
    command = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


mounts = pytest.mark.skipif(
    "CI" not in os.environ and not can_mount(),
    reason="mounting takes root, or a system that lets everybody have user namespaces",
)

STRATEGIES = ("best_and_last", "rolling", "interval")
WRITERS = ("synchronous", "background")
KILLS = 34  # times the six combinations: more than 200, and half of them during a write

Settings = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Project:
    """A rendered project, and what one does to it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """That its commands run in."""
        return {
            **os.environ,
            "PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "OMP_NUM_THREADS": "1",  # as many tests run as there are cores
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `train`."""
        return subprocess.Popen(
            ["python", "-m", "digits.cli", "train", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def train(self, *arguments: str) -> None:
        """Train to the end."""
        process = self.start(*arguments)
        _, complaint = process.communicate()
        assert process.returncode == 0, complaint

    def abuse(self, scenario: str, scratch: Path, settings: Settings, **given: Any) -> Any:
        """What a scenario of `abuse.py` saw; its runs go to a scratch folder."""
        data: dict[str, Any] = {"cache_dir": str(self.folder / "data/cache")}
        if (records := self.folder / "data/records.csv").exists():
            data["path"] = str(records)
        settings = {**settings, "data": {**data, **settings.get("data", {})}}
        done = subprocess.run(
            [
                *("python", str(ROOT / "tests/abuse.py"), scenario, "--said", "said.json"),
                *("--settings", json.dumps(settings), "--given", json.dumps(given)),
            ],
            cwd=scratch,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads((scratch / "said.json").read_text(encoding="utf-8"))

    def apart(self, script: str, *arguments: str) -> None:
        """Run a shell script that mounts what nobody else sees; `$@` are the arguments."""
        done = subprocess.run(
            [*UNSHARE, "sh", "-euc", TRAIN + script, "sh", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


Make = Callable[..., Project]


@pytest.fixture(scope="session")
def make(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Gives the project of these answers, made once."""

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
    """A folder in memory, where there is such a place.

    SIGKILL takes nothing back that a process has given to the system. A disk would make no
    difference but that flushing to it takes most of the time.
    """
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def often(checkpoint: str) -> dict[str, float]:
    """Settings by which a short run has many checkpoints."""
    return {"minutes": 0.0003} if checkpoint == "interval" else {"every": 3}


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
@pytest.mark.parametrize("checkpoint", STRATEGIES)
def test_runs_killed_at_any_moment_go_on_from_what_was_saved_and_end_with_the_same_bits(
    checkpoint: str,
    writer: str,
    make: Make,
    scratch: Path,
    record_property: Callable[[str, object], None],
) -> None:
    project = make(checkpoint, writer)
    settings = {**SHORT, "checkpoint": often(checkpoint)}
    seed = STRATEGIES.index(checkpoint) * len(WRITERS) + WRITERS.index(writer)
    said = project.abuse("kills", scratch, settings, seed=seed, count=KILLS)
    assert said["wrong"] == []
    assert said["kills"] >= KILLS
    assert said["during"] >= KILLS / 2
    record_property(
        f"{checkpoint}, {writer}",
        f"{said['kills']} runs killed, {said['during']} of them during the write of a checkpoint, "
        f"{said['pruning']} during the removal of one; {said['early']} had none yet; "
        "0 found none intact",
    )


def test_how_many_files_plain_torch_save_loses(
    make: Make, scratch: Path, record_property: Callable[[str, object], None]
) -> None:
    said = make().abuse("overwriting", scratch, SHORT, seed=0, count=40)
    record_property(
        "torch.save over one file",
        f"{said['unreadable']} of {said['kills']} files could not be read",
    )


FULL = ["--training.warmup-steps=5", "--training.batch-size=16"]
FULL_DISKS = {
    "checkpoints": (
        200,  # KiB: two checkpoints of 68, and what else a run writes
        ["--training.max-steps=60", "--training.log-every=20", "--training.evaluate-every=30"],
        10,
    ),
    "metrics": (
        48,
        ["--training.max-steps=300", "--training.log-every=1", "--training.evaluate-every=300"],
        300,
    ),
}


def assert_one_line(folder: Path, number: str, code: int, *said: str) -> None:
    """A command has ended with this exit code and one line that a person understands."""
    complaint = (folder / f"{number}.stderr").read_text(encoding="utf-8")
    assert "Traceback" not in complaint, complaint
    assert len(complaint.splitlines()) == 1, complaint
    for part in said:
        assert part in complaint
    assert (folder / f"{number}.code").read_text(encoding="utf-8").strip() == str(code)


def intact(run: Path) -> list[int]:
    """The steps with a checkpoint. Raises AssertionError if one isn't as its manifest says."""
    found: list[int] = []
    for folder in sorted((run / "checkpoints").glob("step_*")):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name, each in manifest.items():
            content = (folder / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == each["sha256"], f"{folder / name}"
        found.append(int(folder.name.removeprefix("step_")))
    return found


def end(run: Path) -> dict[str, bytes]:
    """All that has to be equal at the end of two runs."""
    last = sorted((run / "checkpoints").glob("step_*"))[-1]
    return {**tree(last), "metrics.jsonl": (run / "metrics.jsonl").read_bytes()}


@mounts
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("first", FULL_DISKS)
def test_a_full_disk_is_said_in_one_line_and_with_room_the_run_goes_on(
    first: str, writer: str, make: Make, tmp_path: Path
) -> None:
    size, settings, every = FULL_DISKS[first]
    settings = [*FULL, *settings, f"--checkpoint.every={every}"]
    project = make("rolling", writer)
    name = f"unbroken-{first}"
    project.train("--run-name", name, *settings)
    project.apart(
        """
        out=$1 size=$2; shift 2
        mount -t tmpfs -o size=${size}k tmpfs runs
        train --run-name full "$@" 2> $out/full.stderr || echo $? > $out/full.code
        cp -a runs/full $out/full
        umount runs
        mount -t tmpfs -o size=64m tmpfs runs
        cp -a $out/full runs/full
        train --resume runs/full
        cp -a runs/full $out/resumed
        """,
        *(str(tmp_path), str(size), *settings),
    )
    assert_one_line(tmp_path, "full", 1, "No space left on device")
    assert intact(tmp_path / "full") == ([10, 20] if first == "checkpoints" else [])
    assert not list((tmp_path / "full" / "checkpoints").glob(".tmp-*"))
    assert end(tmp_path / "resumed") == end(project.folder / "runs" / name)


@mounts
def test_starting_and_resuming_on_a_full_disk_is_refused_in_one_line_and_nothing_is_lost(
    make: Make, tmp_path: Path
) -> None:
    settings = [*FULL, *FULL_DISKS["checkpoints"][1], "--checkpoint.every=10"]
    project = make("rolling", "synchronous")
    project.apart(
        """
        out=$1; shift
        mount -t tmpfs -o size=4m tmpfs runs
        train --run-name one "$@"
        rm -r runs/one/checkpoints/step_00000060
        cp -a runs $out/before
        dd if=/dev/zero of=runs/filler 2> /dev/null || true
        train --resume runs/one 2> $out/resume.stderr || echo $? > $out/resume.code
        train --run-name two "$@" 2> $out/begin.stderr || echo $? > $out/begin.code
        rm runs/filler
        cp -a runs $out/after
        train --resume runs/one
        """,
        *(str(tmp_path), *settings),
    )
    assert intact(tmp_path / "after/one") == intact(tmp_path / "before/one")
    before, after = tree(tmp_path / "before"), tree(tmp_path / "after")
    assert before.items() <= after.items()
    assert not [path for path in after if "two" in path]
    assert_one_line(tmp_path, "resume", 1, "No space left on device")
    assert_one_line(tmp_path, "begin", 1, "No space left on device")


@mounts
def test_a_run_that_is_read_only_is_refused_and_left_as_it_is(make: Make, tmp_path: Path) -> None:
    project = make()
    run = project.folder / "runs/read-only"
    shutil.rmtree(run, ignore_errors=True)
    project.train("--run-name", run.name, *FULL, "--training.max-steps=20")
    before = tree(run)
    project.apart(
        """
        mount --bind runs/read-only runs/read-only
        mount -o remount,bind,ro runs/read-only
        train --resume runs/read-only 2> $1/refused.stderr || echo $? > $1/refused.code
        """,
        str(tmp_path),
    )
    assert_one_line(tmp_path, "refused", 2, "runs/read-only can't be written to")
    assert tree(run) == before


def test_a_second_process_is_refused_until_the_first_is_killed(make: Make) -> None:
    project = make()
    steps = ["--training.max-steps=500", "--checkpoint.every=100"]
    first = project.start("--run-name", "one", *FULL, *steps)
    metrics = project.folder / "runs/one/metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size) and first.poll() is None:
        time.sleep(0.001)
    first.send_signal(signal.SIGSTOP)  # holds the lock for as long as the second one takes
    assert first.poll() is None, "it was too fast to be stopped"
    second = project.start("--resume", "runs/one")
    _, complaint = second.communicate()
    assert second.returncode == 3
    assert complaint.splitlines() == [
        "runs/one is in use by another process. Wait for it, or stop it first"
    ]
    first.kill()
    first.communicate()
    project.train("--resume", "runs/one")
    assert max(intact(project.folder / "runs/one")) == 500


def test_workers_of_a_killed_run_keep_nobody_out_and_end_by_themselves(
    make: Make, scratch: Path, record_property: Callable[[str, object], None]
) -> None:
    settings: Settings = {"training": {"max_steps": 100_000}, "data": {"workers": 2}}
    said = make().abuse("orphans", scratch, settings)
    assert said["workers"] == 2
    assert said["free"] is True
    record_property("workers of a killed run", f"ended {said['seconds']:.1f} s after it")


BRIEF = {
    "blank": {"max_steps": 20, "batch_size": 16},  # 7 batches in an epoch
    "image": {"max_steps": 27, "batch_size": 128},  # 11
}


def brief(starter: str) -> dict[str, Any]:
    """The training of a run with two epochs, and some steps of a third one."""
    return {**BRIEF[starter], "warmup_steps": 5, "log_every": 1, "evaluate_every": 5}


@pytest.mark.parametrize("starter", BRIEF)
def test_any_number_of_workers_gives_the_same_batches_and_the_same_bits(
    starter: str, make: Make, scratch: Path
) -> None:
    settings = {"training": brief(starter)}
    said = make(starter=starter).abuse("batches", scratch, settings, name="drawn")
    drawn, ended = said["drawn"], said["ended"]
    assert len(set(drawn["0"])) == 3 * said["epoch"], "each batch is one of its own"
    assert drawn["0"] == drawn["1"] == drawn["4"]
    assert ended["0"] == ended["1"] == ended["4"]


MODES = {
    "plain": {},
    "accumulation": {"accumulation_steps": 2},
    "bfloat16": {"precision": "bfloat16"},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("starter", "checkpoint", "writer"),
    [
        ("blank", "rolling", "background"),
        ("blank", "best_and_last", "synchronous"),
        ("image", "rolling", "background"),
    ],
)
def test_a_run_that_dies_at_a_chosen_step_goes_on_exactly_there(
    starter: str, checkpoint: str, writer: str, mode: str, make: Make, scratch: Path
) -> None:
    settings: Settings = {
        "training": {**brief(starter), "device": "cpu", **MODES[mode]},
        "checkpoint": {"every": 1},
    }
    said = make(checkpoint, writer, starter).abuse("moments", scratch, settings)
    assert len(said) == 4
    for moment, each in said.items():
        assert each["newest"] == each["first"] == each["wanted"], moment
        assert each["equal"], moment
        assert each["untouched"] == (moment == "at the last step"), moment


def test_the_background_writer_copies_writes_once_at_a_time_and_says_what_went_wrong(
    make: Make, scratch: Path
) -> None:
    said = make(checkpoint_writer="background").abuse("background", scratch, {})
    assert [promise for promise, kept in said.items() if not kept] == []


@pytest.mark.parametrize(("writer", "steps"), [("synchronous", 20), ("background", 21)])
def test_a_checkpoint_that_cannot_be_written_stops_the_run_at_once_with_the_cause(
    writer: str, steps: int, make: Make, scratch: Path
) -> None:
    settings: Settings = {"training": {"max_steps": 200}, "checkpoint": {"every": 20}}
    said = make(checkpoint_writer=writer).abuse("failing", scratch, settings)
    assert said["steps"] == steps
    assert "couldn't write runs/failing/checkpoints/step_00000020" in said["said"]
    assert said["cause"] == "NotADirectoryError"
