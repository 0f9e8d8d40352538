# The template's: updates improve this file and keep your edits.
"""Logs a run: metrics.jsonl, timings.jsonl, the console and the tracker."""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from ..config import Config, to_dict
from ..errors import Interrupted, redact_passwords, warn
from .files import replace_text
from .run import Run
from .tracker import open_tracker


class MetricsLogger:
    """Opened at the step from which a run is trained or resumed."""

    def __init__(self, run: Run, config: Config, step: int) -> None:
        self._config = config.training
        paths = run.folder / "metrics.jsonl", run.folder / "timings.jsonl"
        history, earlier = (
            [line for line in read_metrics(path) if line["step"] <= step] for path in paths
        )
        for path, lines in zip(paths, (history, earlier), strict=True):
            # The lines after this step will be logged again.
            replace_text(path, "".join(json.dumps(line) + "\n" for line in lines))
        self._metrics, self._timings = (path.open("a", encoding="utf-8") for path in paths)
        self._earlier_seconds = earlier[-1].get("seconds", 0.0) if earlier else 0.0
        self._first_step = self._last_step = step
        self._start = self._last_time = time.perf_counter()

        self._tracker: Any = None
        recorded = run.read_provenance()
        if not recorded["scratch"]:
            last = history[-1]["step"] if history else 0
            self._tracker = self._guard(open_tracker, run, to_dict(config), last)
        if self._tracker is not None:
            tracker_id = getattr(self._tracker, "id", None)
            run.write("run.json", recorded | {"tracker": tracker_id})
        for line in history:  # what a crash may have kept from the tracker
            self._send("log", line.pop("step"), line)

    @property
    def seconds(self) -> float:
        """Training time, including earlier sessions."""
        return self._earlier_seconds + time.perf_counter() - self._start

    def log(self, step: int, metrics: Mapping[str, float], memory: int, *, ended: bool) -> None:
        """
        Args:
            step: optimizer steps done.
            metrics: by name, such as `train/loss`.
            memory: peak, in bytes.
            ended: whether it was the last step.
        """
        now = time.perf_counter()
        examples = self._config.batch_size * (step - self._last_step)
        rate = examples / max(now - self._last_time, 1e-9)
        self._last_step, self._last_time = step, now

        # Timings differ from run to run, so they aren't in the file that is reproducible.
        timing = {"seconds": self.seconds, "examples_per_second": rate, "memory_bytes": memory}
        for file, values in ((self._metrics, metrics), (self._timings, timing)):
            file.write(json.dumps({"step": step, **values}) + "\n")
            file.flush()
        self._send("log", step, metrics)

        seconds_per_step = (now - self._start) / (step - self._first_step)
        left = timedelta(seconds=round(seconds_per_step * (self._config.max_steps - step)))
        remark = "" if ended else f"  {left} left"
        values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        speed = f"{rate:.0f} examples/s  {memory / 1e6:.0f} MB{remark}"
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
        if self._tracker is not None:
            self._guard(lambda: getattr(self._tracker, method)(*arguments))

    def _guard(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the tracker. Whatever goes wrong with it, training continues without it."""
        try:
            return function(*arguments)
        except Exception as error:
            text = redact_passwords(f"{type(error).__name__}: {error}")
            reason = " ".join(text.split())[:300]
            print(
                f"The tracker failed ({reason}). Training continues, metrics.jsonl is complete, "
                "and resuming the run sends what is missing"
            )
            failed, self._tracker = self._tracker, None
            with suppress(Exception):  # or the next run of this process would be sent to it
                failed.close("interrupted")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl or timings.jsonl, up to the first that a crash has damaged."""
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    values: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line if line.endswith(b"\n") else b"")
            numbers = [value[key] for key in {**value, "step": 0}]
            if not {*map(type, numbers)} <= {int, float}:
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError):
            if number < len(lines):  # the last may be cut off
                warn(f"{path}: the lines from {number} on are damaged, and left out")
            break
        values.append(value)
    return values
