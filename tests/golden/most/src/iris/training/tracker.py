# The template's: updates improve this file and keep your edits.
"""The chosen tracker: TensorBoard. Look at the curves with `tensorboard --logdir runs`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch.utils.tensorboard.writer import SummaryWriter

from ..protocols import Metrics, Tracker


@dataclass(frozen=True, slots=True)
class TensorBoardTracker:
    """Event files in the run's folder."""

    writer: SummaryWriter

    def log(self, step: int, metrics: Metrics) -> None:
        """See `Tracker`."""
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def close(self, status: Literal["finished", "interrupted", "failed"]) -> None:
        """See `Tracker`."""
        self.writer.close()


def open_tracker(run: Path, settings: Mapping[str, Any], step: int) -> tuple[Tracker, str]:
    """The tracker of a run and the run's id in it; values after `step` are forgotten.

    TensorBoard drops what earlier event files hold from `purge_step` on, so that a resumed run's
    curves have no step twice.
    """
    writer = SummaryWriter(log_dir=str(run / "tensorboard"), purge_step=step + 1)
    if step == 0:
        text = json.dumps(settings, indent=2)
        writer.add_text("config", f"```json\n{text}\n```")
    return TensorBoardTracker(writer), run.name
