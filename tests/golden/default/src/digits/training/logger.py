# The template's: updates improve this file and keep your edits.
"""Logs a run: metrics.jsonl, timings.jsonl, the console and the tracker."""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TextIO

from ..config import Config, to_dict
from ..errors import Interrupted
from .run import Run, replace_text
from .tracker import open_tracker


class MetricsLogger:
    """Opened at the step from which a run is trained or resumed."""

    def __init__(self, run: Run, config: Config, step: int) -> None:
        self._config = config.training
        metrics, timings = run.folder / "metrics.jsonl", run.folder / "timings.jsonl"
        history, earlier = _rewind(metrics, step), _rewind(timings, step)
        self._metrics = metrics.open("a", encoding="utf-8")
        self._timings = timings.open("a", encoding="utf-8")
        self._earlier_seconds = earlier[-1]["seconds"] if earlier else 0.0
        self._first_step = self._last_step = step
        self._start = self._last_time = time.perf_counter()

        self._tracker: Any = None
        recorded = run.read_provenance()
        if not recorded["scratch"]:
            try:
                self._tracker = open_tracker(
                    run, to_dict(config), history[-1]["step"] if history else 0
                )
            except Exception as error:
                self._tracker_failed(error)
        if self._tracker is not None:
            run.write_provenance(recorded | {"tracker": self._tracker.id})
        for line in history:  # what a crash may have kept from the tracker
            self._send("log", line.pop("step"), line)

    @property
    def seconds(self) -> float:
        """Training time, including earlier sessions."""
        return self._earlier_seconds + time.perf_counter() - self._start

    def log(self, step: int, metrics: Mapping[str, float], memory: int) -> None:
        """
        Args:
            step: optimizer steps done.
            metrics: by name, such as `train/loss`.
            memory: peak, in bytes.
        """
        now = time.perf_counter()
        examples = self._config.batch_size * (step - self._last_step)
        rate = examples / max(now - self._last_time, 1e-9)
        self._last_step, self._last_time = step, now

        # Timings differ from run to run, so they aren't in the file that is reproducible.
        timing = {"step": step, "seconds": self.seconds, "examples_per_second": rate}
        _append(self._metrics, {"step": step, **metrics})
        _append(self._timings, {**timing, "memory_bytes": memory})
        self._send("log", step, metrics)

        seconds_per_step = (now - self._start) / (step - self._first_step)
        left = timedelta(seconds=round(seconds_per_step * (self._config.max_steps - step)))
        values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        speed = f"{rate:.0f} examples/s  {memory / 1e6:.0f} MB  {left} left"
        print(f"step {step}/{self._config.max_steps}  {values}  {speed}", flush=True)

    def sync(self) -> None:
        """Flush to the disk: a checkpoint must never be ahead of the metrics."""
        for file in (self._metrics, self._timings):
            os.fsync(file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        interrupted = isinstance(error, Interrupted | KeyboardInterrupt)
        self._send("close", "interrupted" if interrupted else "failed" if error else "finished")
        for file in (self._metrics, self._timings):
            with suppress(OSError):  # of a full disk, raised already when the line was written
                file.close()

    def _send(self, method: str, *arguments: Any) -> None:
        """Whatever goes wrong with the tracker, training continues."""
        if self._tracker is not None:
            try:
                getattr(self._tracker, method)(*arguments)
            except Exception as error:
                self._tracker_failed(error)

    def _tracker_failed(self, error: Exception) -> None:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        print(
            f"The tracker failed ({reason}). Training continues, metrics.jsonl is complete, and "
            "resuming the run sends what is missing"
        )
        failed, self._tracker = self._tracker, None
        if failed is not None:
            with suppress(Exception):  # otherwise the next run of this process would be sent to it
                failed.close("interrupted")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete lines of metrics.jsonl or timings.jsonl; a crash may have truncated the last."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _rewind(path: Path, step: int) -> list[dict[str, Any]]:
    """Drop the lines after a step, which will be logged again. Returns the others."""
    history = [line for line in read_metrics(path) if line["step"] <= step]
    replace_text(path, "".join(json.dumps(line) + "\n" for line in history))
    return history


def _append(file: TextIO, content: dict[str, Any]) -> None:
    file.write(json.dumps(content) + "\n")
    file.flush()
