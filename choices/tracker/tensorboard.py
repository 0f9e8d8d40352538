# The template's: updates improve this file and keep your edits.
"""The chosen tracker: TensorBoard. Look at the curves with `tensorboard --logdir runs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard.writer import SummaryWriter

from ..protocols import Metrics, Tracker
from .run import Run


@dataclass(frozen=True, slots=True)
class TensorBoardTracker:
    """Event files in the run's folder."""

    id: str
    writer: SummaryWriter
    known: set[int]  # steps that are there from before the run was resumed

    def log(self, step: int, metrics: Metrics) -> None:
        """See `Tracker`. Flushed at once, so that a checkpoint is never ahead of the curves."""
        if step in self.known:
            return
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def artifact(self, path: Path) -> None:
        """See `Tracker`. TensorBoard keeps no files; it shows them as text."""
        text = path.read_text(encoding="utf-8")
        self.writer.add_text(path.name, "\n".join(f"    {line}" for line in text.splitlines()))

    def close(self, status: Literal["finished", "interrupted", "failed"]) -> None:
        """See `Tracker`."""
        self.writer.add_text("status", status)
        self.writer.close()


def open_tracker(run: Run, settings: Mapping[str, Any], step: int) -> Tracker:
    """The tracker of a run that begins with step 0, or that goes on after a later one.

    TensorBoard drops what earlier event files hold from `purge_step` on, so that a resumed run's
    curves have no step twice.
    """
    folder = run.folder / "tensorboard"
    known = {each for each in _steps(folder) if each <= step} if step else set[int]()
    return TensorBoardTracker(run.id, SummaryWriter(str(folder), purge_step=step + 1), known)


def _steps(folder: Path) -> set[int]:
    """The steps that the event files have."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    try:
        return {each.step for each in events.Scalars("train/loss")}
    except KeyError:  # killed before the first
        return set()
