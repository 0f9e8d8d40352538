# The template's: updates improve this file and keep your edits.
"""What a run reports: metrics, times, a progress bar, plain lines in a log file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..config import Config
from ..errors import Interrupted
from ..protocols import History, Metrics
from .run import Run, replace_text
from .tracking import Tracking


class Monitor:
    """Writes `metrics.jsonl`, which is the truth, and tells the tracker and the person the same."""

    def __init__(self, run: Run, config: Config, console: Console) -> None:
        self._run, self._config, self._console = run, config, console
        self._behind = read_seconds(run.timings)
        self._metrics = run.metrics.open("a", encoding="utf-8")
        self._timings = run.timings.open("a", encoding="utf-8")
        self._log = run.log.open("a", encoding="utf-8")
        self._first_step = self._last_step = 0
        self._began = self._last = time.perf_counter()
        self._next_move = 0.0
        self._numbers: dict[str, str] = {}  # as they were logged last
        self._effort: dict[str, str] = {}
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        )
        self._total = config.training.max_steps
        self._task = self._progress.add_task(run.folder.name, total=self._total)

    @contextmanager
    def running(self, step: int) -> Generator[None]:
        """Show the view from this step on; close the tracker and every file at the end."""
        self._first_step = self._last_step = step
        self._progress.update(self._task, completed=step)
        history = read_metrics(self._run.metrics)
        self._tracking = Tracking(self._run, self._config, history, self.say)
        self._began = self._last = time.perf_counter()
        live = Live(console=self._console, get_renderable=self._view, refresh_per_second=5)
        status: Literal["finished", "interrupted", "failed"] = "failed"
        try:
            with live if self._console.is_terminal else nullcontext():
                yield
            status = "finished"
        except Interrupted:
            status = "interrupted"
            raise
        finally:
            self._tracking.close(status)
            for file in (self._metrics, self._timings, self._log):
                with suppress(OSError):  # of a full disk, which was said when the line was written
                    file.close()

    @property
    def seconds(self) -> float:
        """How long the run has been trained, what was before it was resumed included."""
        return self._behind + time.perf_counter() - self._began

    def say(self, line: str) -> None:
        """A line for the person, kept in the log file."""
        print(line, file=self._log, flush=True)
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def log(self, step: int, metrics: Metrics, examples: int, memory: int) -> None:
        """One logged step.

        Args:
            step: steps done.
            metrics: by name, such as `train/loss`.
            examples: in a batch.
            memory: the most that was in use so far, in bytes.
        """
        now = time.perf_counter()
        rate = examples * (step - self._last_step) / max(now - self._last, 1e-9)
        self._last, self._last_step = now, step
        timing = {"step": step, "seconds": self.seconds, "examples_per_second": rate}
        _append(self._metrics, {"step": step, **metrics})
        _append(self._timings, {**timing, "memory_bytes": memory})
        self._tracking.log(step, metrics)
        numbers = {name: f"{value:.4g}" for name, value in metrics.items()}
        self._effort = {
            "examples/s": f"{rate:.0f}",
            "memory": f"{memory / 1e6:.0f} MB",
            "left": str(timedelta(seconds=round(self._left(step)))),
        }
        said = (f"{name} {text}" for name, text in (numbers | self._effort).items())
        line = "  ".join((f"step {step}/{self._total}", *said))
        print(line, file=self._log, flush=True)
        if not self._console.is_terminal:
            print(line, file=self._console.file, flush=True)  # a twentieth of what rich takes
        self._numbers |= {
            name.removeprefix("train/"): f"{text} at {step}" if "validation" in name else text
            for name, text in numbers.items()
        }

    def _left(self, step: int) -> float:
        """Seconds until the end, at the pace of this session, or by the budget of time."""
        pace = (time.perf_counter() - self._began) / max(1, step - self._first_step)
        left = pace * (self._total - step)
        budget = 60 * self._config.training.max_minutes
        return max(0.0, min(left, budget - self.seconds) if budget else left)

    def _view(self) -> Group:
        """The bar, and under it the last value of everything that is logged."""
        table = Table.grid(padding=(0, 3))
        cells = [f"{name} {text}" for name, text in (self._numbers | self._effort).items()]
        for first in range(0, len(cells), 3):
            table.add_row(*cells[first : first + 3])
        return Group(self._progress, table)

    def advance(self, step: int) -> None:
        """So many steps are done. Moves the bar ten times a second: moving it has its price."""
        if (now := time.monotonic()) >= self._next_move:
            self._next_move = now + 0.1
            self._progress.update(self._task, completed=step)

    def flush(self) -> None:
        """Put the metrics on the disk: a checkpoint must not be ahead of them."""
        for file in (self._metrics, self._timings):
            os.fsync(file.fileno())


def _append(file: TextIO, content: dict[str, Any]) -> None:
    file.write(json.dumps(content) + "\n")
    file.flush()


def rewind(path: Path, step: int) -> None:
    """Drop the lines after a step, and one that a crash tore, so that no step is logged twice."""
    if not path.exists():
        return
    kept: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["step"] > step:
            break
        kept.append(line)
    replace_text(path, "".join(kept))


def _lines(path: Path) -> list[dict[str, float]]:
    """The whole lines of a file; a crash may have torn the last."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def read_metrics(path: Path) -> History:
    """What `metrics.jsonl` says: each logged step with its metrics."""
    return [(int(metrics.pop("step")), metrics) for metrics in _lines(path)]


def read_seconds(path: Path) -> float:
    """How long a run was trained until the last line of `timings.jsonl`."""
    timings = _lines(path)
    return timings[-1]["seconds"] if timings else 0.0
