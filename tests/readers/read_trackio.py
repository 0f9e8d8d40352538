"""Reads a run back with Trackio's command line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TRACKIO_DIR", str(Path("runs/trackio").resolve()))


def trackio(*arguments: str) -> Any:
    command = [sys.executable, "-m", "trackio.cli", *arguments, "--project", "digits", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


name = sys.argv[1]
query = f"SELECT run_id, step, metrics FROM metrics WHERE run_name = '{name}'"
rows = trackio("query", "project", "--sql", query)["rows"]
(run_id,) = {row["run_id"] for row in rows}
listed = json.dumps(trackio("list", "artifacts"))
tracked = {
    "runs": 1,
    "values": [[row["step"], json.loads(row["metrics"])] for row in rows],
    "parameters": trackio("get", "run", "--run", name)["config"],
    "files": [file for file in ("config.toml", "run.json") if f"{run_id}-{file}" in listed],
}
print(json.dumps(tracked))
