# The template's: updates improve this file and keep your edits.
"""What a run says while it goes on: metrics, times, a progress bar, plain lines in a log file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..config import Config
from ..errors import Interrupted
from ..protocols import History, Metrics
from .run import Run, replace_text
from .tracking import Tracking


class Monitor:
    """Writes `metrics.jsonl`, which is the truth, and tells the tracker and the person the same."""

    def __init__(self, run: Run, config: Config, console: Console) -> None:
        self._run, self._config, self._console = run, config, console
        self._metrics = run.metrics.open("a", encoding="utf-8")
        self._timings = run.timings.open("a", encoding="utf-8")
        self._log = run.log.open("a", encoding="utf-8")
        self._began = self._last = time.perf_counter()
        self._last_step = 0
        self._next_move = 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._total = config.training.max_steps
        self._task = self._progress.add_task(run.folder.name, total=self._total, loss="-", rate="-")

    @contextmanager
    def running(self, step: int) -> Generator[None]:
        """Show the bar from this step on; close the tracker and every file at the end."""
        self._last_step = step
        self._progress.update(self._task, completed=step)
        history = read_metrics(self._run.metrics)
        self._tracking = Tracking(self._run, self._config, history, self.say)
        self._began = self._last = time.perf_counter()
        status: Literal["finished", "interrupted", "failed"] = "failed"
        try:
            with self._progress:
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

    def say(self, line: str) -> None:
        """A line for the person, kept in the log file."""
        print(line, file=self._log, flush=True)
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def log(self, step: int, metrics: Metrics, records: int, memory: int) -> None:
        """One logged step.

        Args:
            step: steps done.
            metrics: by name, such as `train/loss`.
            records: in a batch.
            memory: the most that was in use so far, in bytes.
        """
        now = time.perf_counter()
        rate = records * (step - self._last_step) / max(now - self._last, 1e-9)
        timing = {"step": step, "seconds": now - self._began, "records_per_second": rate}
        self._last, self._last_step = now, step
        _append(self._metrics, {"step": step, **metrics})
        _append(self._timings, {**timing, "memory_bytes": memory})
        self._tracking.log(step, metrics)
        parts = [f"step {step}/{self._total}", *(f"{k} {v:.4g}" for k, v in metrics.items())]
        line = "  ".join([*parts, f"{rate:.0f} records/s"])
        print(line, file=self._log, flush=True)
        if not self._console.is_terminal:
            print(line, file=self._console.file, flush=True)  # a twentieth of what rich takes
        loss = f"{metrics['train/loss']:.4f}"
        self._progress.update(self._task, completed=step, loss=loss, rate=f"{rate:.0f} records/s")

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


def read_metrics(path: Path) -> History:
    """What `metrics.jsonl` says: each logged step with its metrics."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    logged: list[dict[str, float]] = [json.loads(line) for line in lines if line.endswith("\n")]
    return [(int(metrics.pop("step")), metrics) for metrics in logged]
