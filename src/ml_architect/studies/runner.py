"""Starts, monitors, resumes and stops training runs as processes.

Each run is a process in its own session. So memory is measured per run, a run that is out of memory
doesn't end others, and Ctrl-C at a terminal reaches only the study, which then stops its runs once.
If a study is killed, its runs continue, and the next study waits for their end.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..errors import CommandError
from ..runs.run import Run
from .project import Project

POLL_SECONDS = 0.1
MAX_STARTS = 3  # of a run that is killed again and again, for example for its memory
MAX_WAIT_SECONDS = 30.0  # between two attempts to take over a run that is in use

IN_USE = 3  # exit codes: see docs/run-format.md
RESUMABLE = 75


class Stopped(CommandError):  # noqa: N818 - nothing went wrong
    """The study was stopped; its runs are saved."""

    exit_code = RESUMABLE


class StopRequest:
    """Whether the study has to stop, because of a signal or an error."""

    def __init__(self) -> None:
        self.reason = ""
        self._signals = 0

    @property
    def is_urgent(self) -> bool:
        """Whether a second signal came, so that the runs are killed instead of saved."""
        return self._signals > 1

    def handle_signal(self, number: int, _: object) -> None:
        """See `signal.signal`."""
        self._signals += 1
        self.reason = self.reason or signal.Signals(number).name

    def check(self) -> None:
        """Raise Stopped if the study has to stop."""
        if self.reason:
            raise Stopped(
                f"stopped by {self.reason}; the runs are saved. Continue with: {command_line()}"
            )


@contextmanager
def stop_on_signal() -> Generator[StopRequest]:
    """Let signals stop the runs first, except signals that are ignored."""
    request = StopRequest()
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number in numbers if before[number] != signal.SIG_IGN]  # nohup
    for number in handled:
        signal.signal(number, request.handle_signal)
    try:
        yield request
    finally:
        for number in handled:
            signal.signal(number, before[number])


def train(
    project: Project,
    run: Run,
    config: Path,
    stop: StopRequest,
    *,
    threads: int | None = None,
    give_up: Callable[[], bool] = lambda: False,
) -> str:
    """Train one run to completion, resuming it after interruptions.

    Args:
        project: has the command.
        run: is created or resumed; nothing happens if it has ended.
        config: file with its settings.
        stop: checked several times a second.
        threads: limit for the run; by default that of its libraries.
        give_up: called several times a second; true ends the run.

    Returns:
        Why the run has no outcome; an empty string if it has one.

    Raises:
        Stopped: the study has to stop; the run has saved its state.
    """
    outcome = run.folder / "outcome.json"
    wait, starts = 0.0, 0
    while not outcome.exists():
        stop.check()
        code, last_line = _train_once(project, run, config, stop, threads, give_up)
        if outcome.exists():
            break
        stop.check()
        if give_up():
            return "given up"
        if code == IN_USE:  # another process trains it, and may finish it
            if not wait:
                print(f"{run.name} is in use by another process; waiting", file=sys.stderr)
            wait = min(max(1.0, 2 * wait), MAX_WAIT_SECONDS)
            until = time.monotonic() + wait
            while time.monotonic() < until and not outcome.exists() and not give_up():
                stop.check()
                time.sleep(POLL_SECONDS)
            continue
        killed_by = -code if code < 0 else code - 128  # wrappers such as `uv run` add 128
        starts += 1
        if code == 0:
            return f"exited with 0, but wrote no {outcome}"
        if 0 < killed_by < 32 or code == RESUMABLE:
            if starts == MAX_STARTS:
                reason = "out of memory?" if killed_by == signal.SIGKILL else f"exit code {code}"
                return f"killed or stopped {starts} times ({reason})"
        else:
            return last_line or f"exited with {code}"
    return ""


def _train_once(
    project: Project,
    run: Run,
    config: Path,
    stop: StopRequest,
    threads: int | None,
    give_up: Callable[[], bool],
) -> tuple[int, str]:
    """Start the project's command. Returns its exit code and the last line that it printed."""
    environment = project.environment()
    if threads is not None:
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    log = run.folder.parent / "logs" / f"{run.folder.name}.log"
    log.parent.mkdir(exist_ok=True)
    options = ["--config", str(config), "--run-name", run.name, "--or-resume"]
    with log.open("a+b") as output:
        start = output.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [*project.command, "train", *options],
            cwd=project.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        is_stopping, is_group_signaled = False, False
        try:
            while process.poll() is None or (is_stopping and _is_group_running(process)):
                time.sleep(POLL_SECONDS)
                if not is_stopping and (stop.reason or give_up()):
                    process.terminate()  # it finishes its step and saves
                    is_stopping = True
                if is_stopping and not is_group_signaled and process.poll() is not None:
                    # A wrapper such as a shell script has exited without stopping its child.
                    _signal_group(process, signal.SIGTERM)
                    is_group_signaled = True
                if stop.is_urgent:
                    _signal_group(process, signal.SIGKILL)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        output.seek(start)
        lines = output.read().decode(errors="replace").strip().splitlines()
    return process.returncode, f"{lines[-1]} (details: {log})" if lines else ""


def _signal_group(process: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to a run and its child processes. Returns whether any of them exists."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _is_group_running(process: subprocess.Popen[bytes]) -> bool:
    """Whether any of a run's processes is running.

    In a container whose first process doesn't wait for orphans, they stay as zombies.
    """
    if not Path("/proc/self/stat").exists():
        return _signal_group(process, 0)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, _, group = path.read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
            if int(group) == process.pid and state != "Z":
                return True
    return False


class StudyProgress:
    """One line per finished run and, on a terminal, a bar with the best value and the time left."""

    def __init__(self, console: Console, total: int, done: int) -> None:
        self._total, self._started = total, time.monotonic()
        self._done_before = done
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
            self._print(f"{done} of {total} runs have already finished")

    def run_ended(self, line: str, done: int, best: str = "") -> None:
        """Print the result of a run, how many are done, and the best result so far."""
        elapsed = time.monotonic() - self._started
        seconds = elapsed / max(1, done - self._done_before) * max(0, self._total - done)
        time_left = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        left = f"about {time_left} left" if seconds else ""
        self.bar.update(self._task, completed=done, description=best or "runs", left=left)
        self._print("  ".join(filter(None, (f"{done}/{self._total}", line, best, left))))

    def _print(self, line: str) -> None:
        self.bar.console.print(line, highlight=False, markup=False, soft_wrap=True)


def command_line() -> str:
    """The command line of this process."""
    return shlex.join(["ml-architect", *sys.argv[1:]])
