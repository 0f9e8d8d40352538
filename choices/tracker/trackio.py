# The template's: updates improve this file and keep your edits.
"""Logs to Trackio, in `runs/trackio`. To see the runs: `TRACKIO_DIR=runs/trackio trackio show`.

Trackio can't delete single steps. A resumed run is therefore deleted and logged again up to its
checkpoint. This isn't possible in a Space or on a server (TRACKIO_SPACE_ID, TRACKIO_SERVER_URL):
there, the resumed run appears beside the earlier one.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ..errors import PROGRAM
from .run import RUNS, Run

os.environ.setdefault("TRACKIO_DIR", str(RUNS.resolve() / "trackio"))

import trackio  # reads the environment
from trackio.run import Run as TrackedRun


class TrackioTracker:
    def __init__(self, run: TrackedRun) -> None:
        self.id, self._run = run.id, run

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self, status: str) -> None:
        """Trackio has no status of a run."""
        trackio.finish()  # `self._run.finish()` would be repeated when the process ends


def open_tracker(run: Run, settings: Mapping[str, Any], step: int) -> TrackioTracker:
    run_id = run.read_provenance()["id"]
    with suppress(ValueError):  # nothing was tracked yet
        for earlier in trackio.Api().runs(PROGRAM):
            if (earlier.config or {}).get("run_id") == run_id:
                earlier.delete()
    tracked = trackio.init(
        project=PROGRAM,
        name=run.folder.name,
        config={**settings, "run_id": run_id},
        embed=False,
        auto_log_gpu=False,  # timings.jsonl has the memory; a polling thread would cost more
        auto_log_cpu=False,
    )
    tracker = TrackioTracker(tracked)
    try:
        for path in (run.config_path, run.provenance_path):
            tracked.log_artifact(str(path), name=f"{tracked.id}-{path.name}", type="provenance")
    except Exception:
        tracker.close("interrupted")  # or the next run of this process would be logged to it
        raise
    return tracker
