# The template's: updates improve this file and keep your edits.
"""Logs to Weights & Biases, offline unless `WANDB_MODE=online`.

Nothing leaves the machine until you send it: `wandb login`, then
`wandb sync runs/NAME/wandb/latest-run`. W&B can't delete steps. A resumed run therefore writes its
whole history into a new folder: sync only the newest. If earlier folders were synced too, the last
value of each step counts.
"""

import os
import shutil
from collections.abc import Mapping
from typing import Any

# Variables that you set yourself take precedence. Without the second one, wandb sends error
# reports to its makers, even offline; without the third, it prints the server's address, with a
# password if there is one in it, and waits twice as long for a server that doesn't answer.
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("WANDB_SILENT", "true")

import wandb  # reads the environment

from ..errors import PROGRAM, redact_passwords
from .run import Run

EXIT_CODE = {"finished": 0, "interrupted": 75, "failed": 1}


class WandbTracker:
    def __init__(self, run: wandb.Run) -> None:
        self.id, self._run = run.id, run
        self._first_step = run.step  # that the server doesn't have; offline, it has none

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if step >= self._first_step:
            self._run.log(dict(metrics), step=step)

    def close(self, status: str) -> None:
        self._run.summary["status"] = status
        self._run.finish(EXIT_CODE[status])


def open_tracker(run: Run, settings: Mapping[str, Any], step: int) -> WandbTracker:
    tracked = wandb.init(
        project=os.environ.get("WANDB_PROJECT") or PROGRAM,
        name=run.folder.name,
        id=run.read_provenance()["id"],
        resume="allow",
        reinit="create_new",  # not the run that was trained before in this process
        dir=run.folder,
        config=dict(settings),
        settings=wandb.Settings(
            console="off",
            init_timeout=10,  # seconds
            finish_timeout=60,  # seconds; by default, it waits forever for a lost network
            finish_timeout_raises=True,
        ),
    )
    if not tracked.offline:
        print(f"W&B shows this run: {redact_passwords(tracked.url or '')}")
    tracker = WandbTracker(tracked)
    try:
        for path in (run.config_path, run.provenance_path):
            copy = shutil.copy(path, tracked.dir)  # a link would break when the folder is moved
            tracked.save(copy, base_path=tracked.dir, policy="now")
    except Exception:
        tracker.close("interrupted")  # or its process would stay
        raise
    return tracker
