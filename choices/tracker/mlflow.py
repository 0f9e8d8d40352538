# The template's: updates improve this file and keep your edits.
"""Logs to MLflow: `runs/mlflow.db`, or the server in MLFLOW_TRACKING_URI.

To see the runs: `mlflow ui --backend-store-uri sqlite:///runs/mlflow.db`. MLflow sends metrics from
its own threads, for which the end of the run waits.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from filelock import FileLock

from ..config import flatten
from ..errors import PROGRAM
from .run import RUNS, Run

# Without these, MLflow waits minutes for a server or a database that is down, sends each step in a
# request of its own, and sends telemetry. Variables that you set yourself take precedence.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "4")
os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_ASYNC_LOGGING_BUFFERING_SECONDS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient  # reads the environment
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils as database
from mlflow.utils.time import get_current_time_millis

STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
CHECK_AFTER = 30.0  # seconds after which a metric has arrived or failed, with all its retries

database.MAX_RETRY_COUNT = 1
logging.getLogger("mlflow.utils.async_logging").setLevel(logging.CRITICAL)  # logger.py reports it


class MlflowTracker:
    def __init__(self, run_id: str, client: MlflowClient, known: Mapping[int, float]) -> None:
        self.id, self._client = run_id, client
        self._known = known  # training losses by step, logged before the run was resumed
        self._pending: deque[tuple[float, Any]] = deque()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        if self._known.get(step) == metrics["train/loss"]:
            return
        now = time.monotonic()
        while self._pending and self._pending[0][0] < now - CHECK_AFTER:
            self._pending.popleft()[1].wait()  # raises the error, if there was one
        timestamp = get_current_time_millis()
        values = [Metric(name, value, timestamp, step) for name, value in metrics.items()]
        request = self._client.log_batch(self.id, metrics=values, synchronous=False)
        self._pending.append((now, request))

    def close(self, status: str) -> None:
        try:
            while self._pending:
                self._pending.popleft()[1].wait()
        finally:
            self._client.set_terminated(self.id, STATUS[status])


def open_tracker(run: Run, settings: Mapping[str, Any], step: int) -> MlflowTracker:
    """
    MLflow can't delete a metric. But a resumed run repeats the same values: those that are there
    already are skipped, and those that a crash has lost are sent.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{RUNS}/mlflow.db"
    with FileLock(RUNS / ".mlflow.lock", timeout=60):  # two processes can't create the tables
        client = MlflowClient(uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROGRAM
        experiment = _get_or_create_experiment(client, name, uri)

    recorded = run.read_provenance()
    query = f"tags.run_id = '{recorded['id']}'"
    if existing := client.search_runs([experiment], query, max_results=1):
        run_id = existing[0].info.run_id
        history = client.get_metric_history(run_id, "train/loss")
        client.update_run(run_id, status="RUNNING")
    else:
        commit = recorded["git"]["commit"] or "none"
        tags = {"run_id": recorded["id"], "mlflow.source.git.commit": commit}
        created = client.create_run(experiment, run_name=run.folder.name, tags=tags)
        run_id, history = created.info.run_id, []
        parameters = [Param(name, str(value)) for name, value in flatten(settings).items()]
        client.log_batch(run_id, params=parameters)

    tracker = MlflowTracker(run_id, client, {metric.step: metric.value for metric in history})
    try:
        for path in (run.config_path, run.provenance_path):
            client.log_artifact(run_id, str(path))
    except Exception:
        tracker.close("interrupted")  # or it would be shown as running
        raise
    return tracker


def _get_or_create_experiment(client: MlflowClient, name: str, uri: str) -> str:
    """Returns its id."""
    if existing := client.get_experiment_by_name(name):
        return existing.experiment_id
    location = None  # of the files; a server has its own
    if uri.startswith("sqlite:"):
        location = (RUNS / "mlartifacts").resolve().as_uri()
    try:
        return client.create_experiment(name, artifact_location=location)
    except MlflowException:  # another machine has just created it
        existing = client.get_experiment_by_name(name)
        if existing is None:
            raise
        return existing.experiment_id
