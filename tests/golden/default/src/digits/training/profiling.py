# The template's: updates improve this file and keep your edits.
"""Where the time of a step goes, by PyTorch's own profiler."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile, schedule

WARM, MEASURED = 5, 10  # steps; the first ones allocate, compile and choose algorithms
SHOWN = 10  # operations


def _nothing() -> None:
    """What follows a step that nobody measures."""


@contextmanager
def profiled(folder: Path | None) -> Generator[Callable[[], None]]:
    """Measure the steps of a run; None measures nothing.

    Leaves `trace.json` in the folder, which https://ui.perfetto.dev opens, and prints the costliest
    operations. Memory is what an operation itself takes, less what it gives back.

    Gives:
        What is to be called after each step.
    """
    if folder is None:
        yield _nothing
        return
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    plan = schedule(wait=1, warmup=WARM - 1, active=MEASURED, repeat=1)
    with profile(activities=activities, schedule=plan, profile_memory=True) as profiler:
        yield profiler.step
    trace = folder / "trace.json"
    profiler.export_chrome_trace(str(trace))
    _show(profiler)
    print(f"The trace, for https://ui.perfetto.dev: {trace}")


def _show(profiler: profile) -> None:
    averages = profiler.key_averages()
    operations = [each for each in averages if not each.key.startswith("ProfilerStep")]  # no work
    on_gpu = any(each.self_device_time_total for each in operations)
    times = [
        each.self_device_time_total if on_gpu else each.self_cpu_time_total for each in operations
    ]
    total = sum(times) or 1
    table = Table("operation", box=None)
    for heading in ("calls a step", "ms a step", "share", "MB a step"):
        table.add_column(heading, justify="right")
    costliest = np.argsort([-time for time in times], kind="stable")[:SHOWN].tolist()
    for time, each in ((times[at], operations[at]) for at in costliest):
        memory = each.self_device_memory_usage if on_gpu else each.self_cpu_memory_usage
        table.add_row(
            each.key[:48],
            f"{each.count / MEASURED:.1f}",
            f"{time / MEASURED / 1000:.3f}",
            f"{time / total:.1%}",
            f"{memory / MEASURED / 1e6:+.2f}",
        )
    Console().print(table)
