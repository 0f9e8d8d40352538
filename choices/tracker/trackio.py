# The template's: updates improve this file and keep your edits.
"""The chosen tracker: Trackio, in `runs/trackio`.

Look at the runs with `TRACKIO_DIR=runs/trackio trackio show`. It can't rewind: a resumed run is
taken out and written once more, up to its checkpoint, so that no step is there twice. Runs that go
to a Space or a server (`TRACKIO_SPACE_ID`, `TRACKIO_SERVER_URL`) can't be taken out from here: the
resumed run stands beside the earlier one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import NAME
from ..protocols import Metrics, Tracker
from .run import RUNS, Run

os.environ.setdefault("TRACKIO_DIR", str(RUNS.resolve() / "trackio"))

import trackio  # reads the environment
from trackio.run import Run as TrackedRun


@dataclass(frozen=True, slots=True)
class TrackioTracker:
    """One run of one project."""

    id: str
    run: TrackedRun

    def log(self, step: int, metrics: Metrics) -> None:
        """See `Tracker`."""
        self.run.log(dict(metrics), step=step)

    def artifact(self, path: Path) -> None:
        """See `Tracker`."""
        self.run.log_artifact(str(path), name=f"{self.id}-{path.name}", type="provenance")

    def close(self, status: Literal["finished", "interrupted", "failed"]) -> None:
        """See `Tracker`. Trackio knows no status."""
        trackio.finish()  # `self.run.finish()` would come twice, again when the process ends


def open_tracker(run: Run, settings: Mapping[str, Any], step: int) -> Tracker:
    """The tracker of a run that begins with step 0, or that goes on after a later one."""
    with suppress(ValueError):  # no run was tracked yet
        for earlier in trackio.Api().runs(NAME):
            if (earlier.config or {}).get("run_id") == run.id:
                earlier.delete()
    tracked = trackio.init(
        project=NAME,
        name=run.folder.name,
        config={**settings, "run_id": run.id},
        embed=False,
        auto_log_gpu=False,  # the monitor logs memory; two threads that poll cost more
        auto_log_cpu=False,
    )
    return TrackioTracker(tracked.id, tracked)
