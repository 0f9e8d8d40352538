# The template's: updates improve this file and keep your edits.
"""Logs to TensorBoard. To see the curves: `tensorboard --logdir runs`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard.writer import SummaryWriter

from .run import Run


class TensorBoardTracker:
    def __init__(self, run_id: str, writer: SummaryWriter, known: set[int]) -> None:
        self.id, self._writer = run_id, writer
        self._known = known  # steps, logged before the run was resumed

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if step in self._known:
            return
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # a checkpoint must never be ahead of the curves

    def close(self, status: str) -> None:
        self._writer.add_text("status", status)
        self._writer.close()


def open_tracker(run: Run, settings: Mapping[str, Any], step: int) -> TensorBoardTracker:
    folder = run.folder / "tensorboard"
    known = {logged for logged in _logged_steps(folder) if logged <= step} if step else set[int]()
    # TensorBoard ignores what earlier files have from `purge_step` on.
    writer = SummaryWriter(str(folder), purge_step=step + 1)
    for path in (run.config_path, run.provenance_path):  # shown as text, as it stores no files
        lines = path.read_text(encoding="utf-8").splitlines()
        writer.add_text(path.name, "\n".join(f"    {line}" for line in lines))
    return TensorBoardTracker(run.read_provenance()["id"], writer, known)


def _logged_steps(folder: Path) -> set[int]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    try:
        return {event.step for event in events.Scalars("train/loss")}
    except KeyError:  # killed before the first one
        return set()
