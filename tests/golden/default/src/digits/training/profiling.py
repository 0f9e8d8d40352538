# The template's: updates improve this file and keep your edits.
"""Where the time of a step goes, by PyTorch's profiler."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

SCHEDULE = {"wait": 1, "warmup": 4, "active": 10, "repeat": 1}
"""Steps; the first ones allocate, compile and choose algorithms."""


@contextmanager
def profiled(folder: Path | None) -> Generator[Callable[[], None]]:
    """Profile the steps of a run; None profiles nothing.

    Leaves `trace.json` in the folder, which https://ui.perfetto.dev opens, and prints the
    operations that take the most time.

    Yields:
        What has to be called after each step.
    """
    if folder is None:
        yield lambda: None
        return
    activities, device = [ProfilerActivity.CPU], "cpu"
    if torch.cuda.is_available():
        activities, device = [*activities, ProfilerActivity.CUDA], "cuda"
    with profile(activities=activities, schedule=schedule(**SCHEDULE)) as profiler:
        yield profiler.step
    trace = folder / "trace.json"
    profiler.export_chrome_trace(str(trace))
    print(profiler.key_averages().table(sort_by=f"self_{device}_time_total", row_limit=10))
    print(f"Trace, for https://ui.perfetto.dev: {trace}")
