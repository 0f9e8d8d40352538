# The template's: updates improve this file and keep your edits.
"""The runs of a study: ordinary runs, each trained by a process of its own.

So memory is measured per run, one that runs out of it takes nothing else along, and several can
train at a time. A run that has ended isn't trained again, and one that was broken off goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..config import Config
from ..data.cache import digest
from ..errors import NAME, Interrupted, RunError, command_line
from ..protocols import History
from ..training.loop import records, require_trainable
from ..training.run import RUNS, Run, StopRequest, stop_on_signal

POLL = 0.2  # seconds between two looks at the runs that train


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    value: float  # the best of what chooses checkpoints
    step: int  # at which that was
    seconds: float  # of training
    memory: int  # the most that the process held, in bytes

    @classmethod
    def of(cls, run: Run) -> Outcome:
        """Read it. Raises FileNotFoundError if the run hasn't ended."""
        said = json.loads(run.outcome.read_text(encoding="utf-8"))
        return cls(said["best_value"], said["best_step"], said["seconds"], said["memory"])


def study_folder(name: str) -> Path:
    """Where a study of that name lies.

    Raises:
        RunError: it is no folder's name, or a run's.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise RunError(f"--study {name!r}: expected the name of a folder, such as 'wider'")
    if (RUNS / name / "config.toml").exists():
        raise RunError(f"{RUNS / name} is a run; choose another name with --study NAME")
    return RUNS / name


def open_run(folder: Path, name: str, config: Config) -> Run:
    """The run of that name in a study, created unless it is there.

    Raises:
        RunError: it is there, and was made with other settings or data.
        DataError: its records don't suffice for a batch.
    """
    training = records(config, "train")
    require_trainable(config, training)
    run, data = Run(folder / name), digest(training.folder)
    if not run.folder.exists():
        try:
            return Run.create(name, config, data, within=folder)
        except RunError:
            if not run.config.exists():  # else another process was first
                raise
    try:
        run.require_same(config, data)
    except RunError as error:
        found = str(error).rpartition("\n")[0] or str(error)
        way_out = f"Restore that, start another study with --study NAME, or delete {folder}"
        raise RunError(f"{found}\n{way_out}") from None
    return run


class Child:
    """A run that is being trained, by a process of ours or by one that an earlier study left."""

    def __init__(self, run: Run, processes: int = 1) -> None:
        self.run = run
        self.failure = ""
        """Why there is no outcome, once it is over."""
        self._environment = dict(os.environ)
        if processes > 1:
            cores = str(max(1, (os.cpu_count() or 1) // processes))
            self._environment.setdefault("OMP_NUM_THREADS", cores)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._errors, self._behind, self._read = run.folder / "stderr.log", 0, 0

    def poll(self) -> bool:
        """Go on; whether the run is over."""
        if self._process is None:
            if self.run.outcome.exists():
                return True
            if not self.run.is_in_use():
                self._start()
            return False
        code = self._process.poll()
        if code is None:
            return False
        if code == 0 and self.run.outcome.exists():
            return True
        if code == Interrupted.exit_code and not self._stopped:  # by somebody else: it goes on
            self._process = None
            return False
        said = self._errors.read_bytes()[self._behind :].decode(errors="replace").strip()
        if "is in use by another process" in said:  # which was a moment faster: wait for it
            self._process = None
            return False
        self.failure = _reason(code, said)
        return True

    def stop(self, asked: signal.Signals | None = None) -> None:
        """Have it finish the step and save.

        Args:
            asked: the signal that the study got. The run may have got it, too, since a terminal
                tells both; a second one of a kind would end it at once, so it gets another.
        """
        self._stopped = True
        if self._process is None:
            return
        other = asked is signal.SIGTERM and hasattr(signal, "SIGUSR1")
        self._process.send_signal(signal.SIGUSR1 if other else signal.SIGTERM)

    def wait(self) -> None:
        """Until our process has gone."""
        if self._process is not None:
            self._process.wait()

    def new_metrics(self) -> History:
        """What the run has logged since the last call, whole lines only."""
        path, found = self.run.metrics, list[tuple[int, dict[str, float]]]()
        if not path.exists():
            return found
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < self._read:  # a run that goes on takes back what its checkpoint lacks,
                self._read = 0  # and writes the same again
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                metrics = json.loads(line)
                found.append((int(metrics.pop("step")), metrics))
        return found

    def _start(self) -> None:
        package = __name__.partition(".")[0]
        command = [sys.executable, "-m", f"{package}.cli", "train", "--resume"]
        with self._errors.open("ab") as errors:
            self._behind = errors.tell()
            self._process = subprocess.Popen(
                [*command, str(self.run.folder)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # train.log has it
                stderr=errors,
            )


def _reason(code: int, said: str) -> str:
    """Why a run failed, in few words; stderr.log has them all."""
    if code < 0:
        name = signal.Signals(-code).name
        memory = "; was there too little memory?" if name == "SIGKILL" else ""
        return f"killed by {name}{memory}"
    lines = said.splitlines() or [f"it ended with {code}"]
    return lines[-1] if "Traceback" in said else "\n".join(lines[-5:])


class Job(Protocol):
    """Something that trains one run."""

    @property
    def child(self) -> Child:
        """Of the run."""
        ...

    def poll(self) -> bool:
        """Go on; whether it is over."""
        ...


J = TypeVar("J", bound=Job)


class View:
    """A line for each run that ended, and on a terminal a bar."""

    def __init__(self, console: Console, total: int, done: int = 0) -> None:
        self._total, self._done, self._behind = total, done, done
        self._began = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self.progress.add_task("runs", total=total, completed=done)

    def say(self, line: str, *, ended: bool = True) -> None:
        """What came of one run; then how long the others will take."""
        self._done += ended
        left = max(0, self._total - self._done)
        pace = (time.monotonic() - self._began) / max(1, self._done - self._behind)
        rest = f"; about {round(left * pace)} s left" if ended and left else ""
        self.progress.update(self._task, completed=self._done)
        text = f"{self._done}/{self._total}  {line}{rest}" if ended else line
        self.progress.console.print(text, highlight=False, markup=False, soft_wrap=True)


def train_each(
    jobs: Iterator[J | None], processes: int, view: View, ended: Callable[[J], None]
) -> None:
    """Train so many runs at a time until there are no more.

    Args:
        jobs: what to do; None where there is nothing at present, and may be again.
        processes: runs that train at a time.
        view: of the study.
        ended: is told each job that is over.

    Raises:
        Interrupted: SIGTERM, SIGINT or SIGUSR1 came; the runs have saved their state.
    """
    active: list[J] = []
    with stop_on_signal() as stop, view.progress:
        try:
            more = True
            while (active or more) and not stop:
                while more and len(active) < processes:
                    try:
                        job = next(jobs)
                    except StopIteration:
                        more = False
                        break
                    if job is None:
                        break
                    active.append(job)
                for job in [each for each in active if each.poll()]:
                    active.remove(job)
                    ended(job)
                if active or more:
                    time.sleep(POLL)
        finally:
            _leave(active, stop)
        if stop:
            raise Interrupted(
                f"stopped by {stop}; what was trained is saved. Go on with: "
                f"{' '.join([NAME, *command_line()[1:]])}"
            )


def _leave(active: list[J], stop: StopRequest) -> None:
    for job in active:
        job.child.stop(stop.signal)
    for job in active:
        job.child.wait()


@dataclass(frozen=True, slots=True)
class Plain:
    """A run that needs nothing but to be trained."""

    child: Child

    def poll(self) -> bool:
        """See `Job`."""
        return self.child.poll()


def train_all(
    folder: Path, configs: Mapping[str, Config], processes: int, console: Console
) -> tuple[dict[str, Outcome], dict[str, str]]:
    """Train every run that hasn't ended yet.

    Returns:
        The outcomes by the runs' names, and why there is none of the others.
    """
    runs = {name: open_run(folder, name, config) for name, config in configs.items()}
    outcomes = {name: Outcome.of(run) for name, run in runs.items() if run.outcome.exists()}
    failures: dict[str, str] = {}
    view = View(console, len(runs), len(outcomes))
    if outcomes:
        view.say(f"{len(outcomes)} of {len(runs)} runs have ended already.", ended=False)

    def ended(job: Plain) -> None:
        run = job.child.run
        name = run.folder.name
        if job.child.failure:
            failures[name] = job.child.failure
            view.say(f"{name}: FAILED, {job.child.failure}")
            return
        found = outcomes[name] = Outcome.of(run)
        metric = configs[name].checkpoint.metric
        view.say(f"{name}: {metric} {found.value:.4g} in {found.seconds:.1f} s")

    left = [Plain(Child(run, processes)) for name, run in runs.items() if name not in outcomes]
    train_each(iter(left), processes, view, ended)
    return outcomes, failures
