"""Projects for the tests of studies, and commands that are started and killed."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forks
from rendering import ROOT, render

ENVIRONMENT = Path(os.environ.get("PROJECT_VENV", ROOT / ".venv-project"))
"""Where the projects' dependencies are installed."""

PYTHON = ENVIRONMENT / "bin" / "python"

SMALL = """
[training]
batch_size = 16
max_steps = 20
warmup_steps = 5
evaluate_every = 10
log_every = 5
"""
SMALL_TEXT = """
[data]
context = 64

[training]
batch_size = 4
max_steps = 8
warmup_steps = 2
evaluate_every = 8
log_every = 4
"""
STUDIES = {
    "scale": "\n[scale]\nfractions = [0.25, 1.0]\n",
    "tune": "\n[tune]\ntrials = 3\n[tune.space]\n"
    "training.learning_rate = { low = 1e-3, high = 1e-1, log = true }\n"
    "training.weight_decay = { low = 0.0, high = 0.1 }\n",
}
"""Tables of studies. With the settings above, a run takes hardly longer than its imports."""
RUNS = {"scale": 2, "tune": 3}
"""The number of runs of each study."""


@dataclass(frozen=True)
class StudiedProject:
    """A project, and the command that runs it."""

    folder: Path
    command: str
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command of `ml-architect`, in its own process group."""
        command = [sys.executable, "-m", "ml_architect", *arguments]
        return subprocess.Popen(command, **self._options(environment))

    def study(self, kind: str, *options: str, **environment: str) -> subprocess.Popen[str]:
        """Start a study with the project's config for it."""
        command = ("--command", self.command)
        return self.start(kind, f"configs/{kind}.toml", *command, *options, **environment)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the project itself."""
        return finish(forks.Popen([*self.command.split(), *arguments], **self._options({})))

    def _options(self, environment: dict[str, str]) -> dict[str, Any]:
        return {
            "cwd": self.folder,
            "env": {**os.environ, "OMP_NUM_THREADS": "1", **self.environment, **environment},
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            "start_new_session": True,
        }


def generated_project(template: Path, folder: Path, **answers: str) -> StudiedProject:
    """A project of the template, with short studies."""
    render(template, folder, **answers)
    settings = SMALL_TEXT if answers.get("starter") == "language_model" else SMALL
    (folder / "configs/small.toml").write_text(settings, encoding="utf-8")
    for name, table in STUDIES.items():
        (folder / f"configs/{name}.toml").write_text(settings + table, encoding="utf-8")
    (package,) = (folder / "src").iterdir()
    environment = {"PYTHONPATH": str(folder / "src")}
    return StudiedProject(folder, f"{PYTHON} -m {package.name}.cli", environment)


def example_project(name: str, folder: Path) -> StudiedProject:
    """A copy of one of the third-party projects in examples/."""
    shutil.copytree(ROOT / "examples" / name, folder, ignore=shutil.ignore_patterns("runs", "data"))
    script = "train.py" if name == "torch_regression" else "digits.py"
    return StudiedProject(folder, f"{PYTHON} {script}")


STUB = """
import fcntl, json, pathlib, signal, sys, time, tomllib
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
defaults = {"seed": 0, "x": 0.5, "size": 4, "fraction": 1.0, "split": 0}
settings = defaults | tomllib.load(open(options["--config"], "rb"))
problems = [f"{name}: no such setting" for name in settings if name not in defaults]
if not 0 <= settings["x"] <= 1:
    problems.append(f"x = {settings['x']}: expected 0 to 1")
if problems:
    sys.exit(print(*problems, sep="\\n", file=sys.stderr) or 2)
text = "".join(f"{name} = {value}\\n" for name, value in settings.items())
if "--dry-run" in sys.argv:
    sys.exit(print(text))
run = pathlib.Path("runs") / options["--run-name"]
run.mkdir(parents=True, exist_ok=True)
lock = (run / ".lock").open("w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(3)
if (run / "outcome.json").exists():
    sys.exit(0)
with (run / "starts").open("a") as starts:
    starts.write("started\\n")
(run / "config.toml").write_text(text)
provenance = {"format": 1, "started": "2026-11-25T12:00:00+00:00", "data": settings["split"]}
(run / "run.json").write_text(json.dumps(provenance))
def stop(*_):
    time.sleep(settings["size"] - 100)
    (run / "saved").touch()
    sys.exit(75)
if settings["size"] > 100:  # logs a lot, and saves slowly
    signal.signal(signal.SIGTERM, stop)
    lines = [{"step": step, "validation/loss": 9.0} for step in range(1, 200)]
    text = "".join(json.dumps(line) + "\\n" for line in lines)
    (run / "metrics.jsonl").write_text(text)
    time.sleep(4)
time.sleep(0.2)
if settings["size"] == 13:
    sys.exit("no more disk")
loss = (settings["x"] - 0.3) ** 2 + 0.01 * settings["seed"] + 1 / settings["size"]
loss += 9 * (settings["size"] > 100) + 0.1 / settings["fraction"] - 0.1
loss += 0.16 * settings["split"] / settings["size"]
metrics = {"step": 1, "validation/loss": loss}
(run / "metrics.jsonl").write_text(json.dumps(metrics) + "\\n")
value = {14: float("nan"), 15: None}.get(settings["size"], loss)
outcome = {"metric": "validation/loss", "mode": "min", "best_value": value, "step": 1}
outcome |= {"parameters": settings["size"], "train_examples": round(100 * settings["fraction"])}
(run / "outcome.json").write_text(json.dumps(outcome))
"""


def stub_project(folder: Path) -> StudiedProject:
    """A project that follows the contracts but trains nothing, to test the study itself."""
    (folder / "configs").mkdir(parents=True)
    (folder / "train.py").write_text(STUB.replace("\\\\n", "\\n"), encoding="utf-8")
    return StudiedProject(folder, f"{sys.executable} -I train.py")


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait until a command has ended."""
    output, _ = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Wait until a condition holds. Fails if the process ends first."""
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def runs_with_metrics(study: Path) -> list[Path]:
    """The runs of a study that have started to train."""
    return [path.parent for path in study.glob("*/metrics.jsonl") if path.stat().st_size > 0]


def training_processes(study: Path) -> list[int]:
    """Process ids of all runs of a study."""
    ids: list[int] = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended
        if "--run-name" in command and any(str(study / "configs") in word for word in command):
            ids.append(int(file.parent.name))
    return ids


def assert_trained_once(study: Path, runs: int) -> None:
    """Every run has logged each of its steps once, in order, up to the last."""
    folders = [path.parent for path in study.glob("*/run.json")]
    assert len(folders) == runs, sorted(folder.name for folder in folders)
    for folder in folders:
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        steps = [json.loads(line)["step"] for line in lines]
        assert steps == sorted(set(steps)), folder
        if (folder / "outcome.json").exists():
            assert steps[-1] == outcome(folder)["step"], folder


def outcome(run: Path) -> dict[str, Any]:
    return json.loads((run / "outcome.json").read_text(encoding="utf-8"))


def modification_times(folder: Path) -> dict[Path, int]:
    """The modification time of each file of a study's runs."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*/*.json*")}
