"""Reads a run back with MLflow's client, from the database or from the server."""

import json
import os
import sys

from mlflow import MlflowClient

client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///runs/mlflow.db")
experiment = client.get_experiment_by_name("digits")
assert experiment is not None
runs = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{sys.argv[1]}'")
run = runs[0]
parameters: dict[str, dict[str, str]] = {}
for path, value in run.data.params.items():
    section, _, name = path.rpartition(".")
    parameters.setdefault(section, {})[name] = value
tracked = {
    "runs": len(runs),
    "values": [
        [metric.step, {name: metric.value}]
        for name in run.data.metrics
        for metric in client.get_metric_history(run.info.run_id, name)
    ],
    "parameters": parameters,
    "files": [file.path for file in client.list_artifacts(run.info.run_id)],
    "status": run.info.status,
    "commit": run.data.tags["mlflow.source.git.commit"],
}
print(json.dumps(tracked))
