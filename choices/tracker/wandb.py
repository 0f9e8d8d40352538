# The template's: updates improve this file and keep your edits.
"""The chosen tracker: Weights & Biases, offline unless `WANDB_MODE=online`.

Nothing leaves the machine until you send it: `wandb login`, then
`wandb sync runs/NAME/wandb/latest-run`. It can't rewind. Each start of a run therefore writes the
whole history once more, and the newest folder alone is the run as it was: sync that one. Where
parts were sent before, the last value of a step wins.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

# Defaults, each for you to override in the environment. Without the second one, wandb reports its
# use to its makers, offline too.
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb  # reads the environment

from ..errors import NAME
from ..protocols import Metrics, Tracker
from .run import Run

EXIT_CODE = {"finished": 0, "interrupted": 75, "failed": 1}


@dataclass(frozen=True, slots=True)
class WandbTracker:
    """One run of one project."""

    id: str
    run: wandb.Run
    first: int  # step that isn't on the server yet; offline, none is

    def log(self, step: int, metrics: Metrics) -> None:
        """See `Tracker`."""
        if step >= self.first:
            self.run.log(dict(metrics), step=step)

    def artifact(self, path: Path) -> None:
        """See `Tracker`."""
        copy = shutil.copy(path, self.run.dir)  # a link would break when the folder is moved
        self.run.save(copy, base_path=self.run.dir, policy="now")

    def close(self, status: Literal["finished", "interrupted", "failed"]) -> None:
        """See `Tracker`."""
        self.run.summary["status"] = status
        self.run.finish(EXIT_CODE[status])


def open_tracker(run: Run, settings: Mapping[str, Any], step: int) -> Tracker:
    """The tracker of a run that begins with step 0, or that goes on after a later one."""
    tracked = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or NAME,
        name=run.folder.name,
        id=run.id,
        resume="allow",
        reinit="create_new",  # never the run of an earlier training in this process
        dir=run.folder,
        config=dict(settings),
        settings=wandb.Settings(
            console="off",  # train.log has what is printed
            finish_timeout=60,  # seconds; without it, a network that is gone holds the run for ever
            finish_timeout_raises=True,
        ),
    )
    return WandbTracker(run.id, tracked, first=tracked.step)
