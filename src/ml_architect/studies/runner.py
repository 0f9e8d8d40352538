"""Training runs as processes: started, watched, continued, stopped.

Each run is a process of its own, in a session of its own. So memory is measured per run, a run that
is out of memory takes nothing else along, and Ctrl-C at a terminal reaches the study only, which
then stops its runs once. A run that a killed study left behind goes on; the next study waits for
its end.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..errors import CommandError
from ..runs.run import Run
from .project import Project

POLL_SECONDS = 0.1
MAX_KILLS = 3  # of a run, for example for its memory, before it counts as failed
MAX_WAIT_SECONDS = 30.0  # between two attempts to take over a run that is in use

IN_USE = 3  # exit codes: see docs/run-format.md
RESUMABLE = 75


class Stopped(CommandError):  # noqa: N818 - nothing went wrong
    """The study was stopped; what was trained is saved."""

    exit_code = RESUMABLE


class StopRequest:
    """The signals that asked the study to stop. A second one asks to kill its runs."""

    def __init__(self) -> None:
        self.signals: list[str] = []

    def __call__(self, number: int, _: object) -> None:
        """Handle a signal."""
        self.signals.append(signal.Signals(number).name)

    def check(self) -> None:
        """Raise Stopped if a signal came."""
        if self.signals:
            raise Stopped(
                f"stopped by {self.signals[0]}; what was trained is saved. Continue with: "
                f"{command_line()}"
            )


@contextmanager
def stop_on_signal() -> Generator[StopRequest]:
    """Let SIGINT, SIGTERM and SIGHUP stop the runs before they end this process."""
    request = StopRequest()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, request) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    project: Project,
    run: Run,
    config: Path,
    stop: StopRequest,
    *,
    threads: int | None = None,
    give_up: Callable[[], bool] = lambda: False,
) -> str:
    """Train one run to its end, however often it is interrupted.

    Args:
        project: whose command is started.
        run: that is created, or continued; nothing happens if it has ended.
        config: file with its settings.
        stop: looked at several times a second.
        threads: that the run may use; None leaves it to its libraries.
        give_up: called several times a second; true stops the run for good.

    Returns:
        Why the run has no outcome; nothing if it has one.

    Raises:
        Stopped: the study was asked to stop; the run has saved its state.
    """
    outcome = run.folder / "outcome.json"
    log = run.folder.parent / "logs" / f"{run.folder.name}.log"
    wait, kills = 1.0, 0
    while not outcome.exists():
        stop.check()
        code = _train_once(project, run, config, log, stop, threads, give_up)
        if outcome.exists():
            break
        stop.check()
        if give_up():
            return "given up"
        if code == IN_USE:  # another process trains it, and may finish it
            until = time.monotonic() + wait
            while time.monotonic() < until and not outcome.exists() and not give_up():
                stop.check()
                time.sleep(POLL_SECONDS)
            wait = min(2 * wait, MAX_WAIT_SECONDS)
        elif code < 0 or code == RESUMABLE:
            kills += 1
            if kills == MAX_KILLS:
                reason = "stopped" if code > 0 else f"killed by {signal.Signals(-code).name}"
                return f"{reason} {kills} times; is there too little memory?"
        elif code == 0:
            return f"exited with 0, but wrote no {outcome}"
        else:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return f"{lines[-1] if lines else f'exited with {code}'} (details: {log})"
    return ""


def _train_once(
    project: Project,
    run: Run,
    config: Path,
    log: Path,
    stop: StopRequest,
    threads: int | None,
    give_up: Callable[[], bool],
) -> int:
    """Start the project's command and wait for its exit code."""
    environment = project.environment()
    if threads is not None:
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    log.parent.mkdir(parents=True, exist_ok=True)
    options = ["--config", str(config), "--run-name", run.name, "--or-resume"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*project.command, "train", *options],
            cwd=project.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    is_stopping = False
    while process.poll() is None:
        time.sleep(POLL_SECONDS)
        if not is_stopping and (stop.signals or give_up()):
            process.terminate()  # it finishes its step and saves
            is_stopping = True
        if len(stop.signals) > 1:
            process.kill()  # its checkpoints stay intact
    return process.returncode


class StudyProgress:
    """A line per run that ended and, on a terminal, a bar with the best value and the time left."""

    def __init__(self, console: Console, total: int, done: int) -> None:
        self._total, self._done = total, done
        self._done_before, self._started = done, time.monotonic()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self.bar.add_task("runs", total=total, completed=done, left="")
        if done:
            self._say(f"{done} of {total} runs have ended already")

    def run_ended(self, line: str, best: str = "") -> None:
        """Say what came of a run, and what is the best result so far."""
        self._done += 1
        seconds_per_run = (time.monotonic() - self._started) / (self._done - self._done_before)
        seconds = seconds_per_run * max(0, self._total - self._done)
        time_left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        left = f"about {time_left} left" if seconds else ""
        self.bar.update(self._task, completed=self._done, description=best or "runs", left=left)
        self._say("  ".join(filter(None, (f"{self._done}/{self._total}", line, best, left))))

    def _say(self, line: str) -> None:
        self.bar.console.print(line, highlight=False, markup=False, soft_wrap=True)


def command_line() -> str:
    """The command as it was given."""
    return shlex.join(["ml-architect", *sys.argv[1:]])
