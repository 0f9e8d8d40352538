# The template's: updates improve this file and keep your edits.
"""The chosen tracker: MLflow, in `runs/mlflow.db` or on the server in `MLFLOW_TRACKING_URI`.

Look at the runs with `mlflow ui --backend-store-uri sqlite:///runs/mlflow.db`. Metrics are sent by
threads of MLflow's own; the run's end waits for them.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from ..config import flat
from ..errors import NAME
from ..protocols import Metrics, Tracker
from .run import RUNS, Run

# Defaults for a training run, each for you to override in the environment. MLflow would wait four
# minutes for a server that is gone, write each step by itself, and report its use to its makers.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_ASYNC_LOGGING_BUFFERING_SECONDS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient  # reads the environment
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis

STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
PATIENCE = 30.0  # seconds until it is asked what became of a logged step; retries end before

logging.getLogger("mlflow.utils.async_logging").setLevel(logging.CRITICAL)  # tracking.py says it


@dataclass(frozen=True, slots=True)
class MlflowTracker:
    """One run of one experiment."""

    id: str
    client: MlflowClient
    known: dict[int, float]  # losses by step that are there from before the run was resumed
    sent: deque[tuple[float, Any]] = field(default_factory=deque[tuple[float, Any]])

    def log(self, step: int, metrics: Metrics) -> None:
        """See `Tracker`. Learns of a failure by asking after what was sent a while ago."""
        if self.known.get(step) == metrics["train/loss"]:
            return
        now = time.monotonic()
        while self.sent and self.sent[0][0] < now - PATIENCE:
            self.sent.popleft()[1].wait()  # raises what went wrong with it
        stamp = get_current_time_millis()
        values = [Metric(name, value, stamp, step) for name, value in metrics.items()]
        self.sent.append((now, self.client.log_batch(self.id, metrics=values, synchronous=False)))

    def artifact(self, path: Path) -> None:
        """See `Tracker`."""
        self.client.log_artifact(self.id, str(path))

    def close(self, status: Literal["finished", "interrupted", "failed"]) -> None:
        """See `Tracker`."""
        try:
            while self.sent:
                self.sent.popleft()[1].wait()
        finally:
            self.client.set_terminated(self.id, STATUS[status])


def open_tracker(run: Run, settings: Mapping[str, Any], step: int) -> Tracker:
    """The tracker of a run that begins with step 0, or that goes on after a later one.

    MLflow can't take back a metric. But a resumed run makes the same values again, so that steps
    which are there already are passed over, and those that a crash kept from arriving are sent.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{RUNS}/mlflow.db"
    with FileLock(RUNS / ".mlflow.lock", timeout=60):  # runs that start at once: tables made once
        client = MlflowClient(uri)
        experiment = _experiment(client, os.environ.get("MLFLOW_EXPERIMENT_NAME") or NAME, uri)
    found = client.search_runs([experiment], f"tags.run_id = '{run.id}'", max_results=1)
    if found:
        tracked, known = found[0], client.get_metric_history(found[0].info.run_id, "train/loss")
        client.update_run(tracked.info.run_id, status="RUNNING")
    else:
        git = run.read_provenance()["git"]
        tags = {"run_id": run.id, "mlflow.source.git.commit": git["commit"] or "none"}
        tracked, known = client.create_run(experiment, run_name=run.folder.name, tags=tags), []
        parameters = [Param(name, str(value)) for name, value in flat(settings).items()]
        client.log_batch(tracked.info.run_id, params=parameters)
    losses = {each.step: each.value for each in known}
    return MlflowTracker(tracked.info.run_id, client, losses)


def _experiment(client: MlflowClient, name: str, uri: str) -> str:
    """The id of the experiment, which is made if need be."""
    if existing := client.get_experiment_by_name(name):
        return existing.experiment_id
    local = uri.startswith("sqlite:")
    files = (RUNS / "mlartifacts").resolve().as_uri() if local else None  # a server knows its own
    try:
        return client.create_experiment(name, artifact_location=files)
    except MlflowException:  # a run on another machine was first
        existing = client.get_experiment_by_name(name)
        if existing is None:
            raise
        return existing.experiment_id
