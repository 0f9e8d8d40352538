# The template's: updates improve this file and keep your edits.
"""The promise that everything else rests on: a run that was killed ends like one that wasn't.

Real commands in real processes, killed with a real SIGKILL; nothing is called as a function.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iris.config import CheckpointConfig

PROJECT = Path(__file__).parents[1]
STEPS = 200
CHECKPOINT = CheckpointConfig()
OFTEN = {"every": 10, "minutes": 0.0005}  # whichever the chosen strategy goes by
SETTINGS = [
    f"--training.max-steps={STEPS}",
    "--training.warmup-steps=10",
    "--training.batch-size=16",
    "--training.evaluate-every=25",
    "--training.log-every=5",
    *(f"--checkpoint.{name}={value}" for name, value in OFTEN.items() if hasattr(CHECKPOINT, name)),
    f"--data.cache-dir={PROJECT / 'data' / 'cache'}",
]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "iris.cli", "train", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def result(folder: Path, run: str) -> dict[str, str]:
    """Digests of all that has to be equal: the last weights, the optimizer, every metric."""
    last = folder / "runs" / run / "checkpoints" / f"step_{STEPS:08d}"
    files = [last / "model.safetensors", last / "optimizer.safetensors", last / "state.json"]
    files.append(folder / "runs" / run / "metrics.jsonl")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def wait_for_step(folder: Path, run: str, step: int, process: subprocess.Popen[str]) -> None:
    """Until the run has logged the step, or has ended."""
    metrics = folder / "runs" / run / "metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and f'"step": {step},' in metrics.read_text(encoding="utf-8"):
            return
        time.sleep(0.001)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs go; the data, if the project has any of its own, is the project's."""
    folder = tmp_path_factory.mktemp("resume")
    if (PROJECT / "data").exists():
        (folder / "data").symlink_to(PROJECT / "data")
    return folder


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> dict[str, str]:
    finish(start(folder, "--run-name", "unbroken", *SETTINGS))
    return result(folder, "unbroken")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_killed_at_random_moments_ends_bit_for_bit_like_an_unbroken_one(
    workers: int, folder: Path, unbroken: dict[str, str]
) -> None:
    name, moments = f"killed-{workers}", random.Random(workers)
    options = [*SETTINGS, f"--data.workers={workers}"]
    process = start(folder, "--run-name", name, *options)
    for step in (15, 50, 95):
        wait_for_step(folder, name, step, process)
        time.sleep(moments.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was too fast to be killed"
        process = start(folder, "--resume", f"runs/{name}")
    finish(process)
    assert result(folder, name) == unbroken


def test_a_run_killed_before_its_first_checkpoint_starts_from_the_beginning(
    folder: Path, unbroken: dict[str, str]
) -> None:
    process = start(folder, "--run-name", "early", *SETTINGS)
    while not (folder / "runs/early/config.toml").exists():
        time.sleep(0.001)
    process.kill()
    process.communicate()
    finish(start(folder, "--resume", "runs/early"))
    assert result(folder, "early") == unbroken


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGTERM, 0), (signal.SIGINT, 2), (signal.SIGUSR1, 0)]
)
def test_a_polite_signal_saves_exits_with_75_and_says_how_to_resume(
    number: signal.Signals, workers: int, folder: Path, unbroken: dict[str, str]
) -> None:
    name = number.name.lower()
    process = start(folder, "--run-name", name, *SETTINGS, f"--data.workers={workers}")
    wait_for_step(folder, name, 15, process)
    os.killpg(process.pid, number)  # to the workers too, as a terminal and a scheduler do
    output, _ = process.communicate()
    assert process.returncode == 75, output
    assert f"train --resume runs/{name}" in output
    finish(start(folder, "--resume", f"runs/{name}"))
    assert result(folder, name) == unbroken


def test_a_damaged_last_checkpoint_is_said_and_gone_around(
    folder: Path, unbroken: dict[str, str]
) -> None:
    run = folder / "runs" / "unbroken"
    weights = run / "checkpoints" / f"step_{STEPS:08d}" / "model.safetensors"
    weights.write_bytes(b"damaged")
    output = finish(start(folder, "--resume", "runs/unbroken"))
    assert f"step_{STEPS:08d} is damaged" in output
    assert result(folder, "unbroken") == unbroken


def test_a_resumed_run_refuses_other_settings(folder: Path, unbroken: dict[str, str]) -> None:
    process = start(folder, "--resume", "runs/unbroken", "--seed", "5")
    output, _ = process.communicate()
    assert process.returncode == 2
    assert "seed: was 0, now 5" in output
