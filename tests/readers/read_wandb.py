"""Reads the newest offline folder of a run back with `wandb leet`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def without_internal(values: dict[str, Any]) -> dict[str, float]:
    """Names of W&B's own values begin with an underscore."""
    return {name: value for name, value in values.items() if not name.startswith("_")}


newest = Path("runs", sys.argv[1], "wandb", "latest-run").resolve()
command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(newest)]
output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
records: dict[str, list[dict[str, Any]]] = {}
for line in output.splitlines():
    record = json.loads(line)
    records.setdefault(record["type"], []).append(record[record["type"]])
summary: dict[str, Any] = {}
for record in records["summary"]:
    summary |= record["update"]
items = [record["item"] for record in records["history"]]
tracked = {
    "runs": len({record["run_id"] for record in records["run"]}),
    "values": [[item["_step"], without_internal(item)] for item in items],
    "parameters": records["run"][0]["config"]["update"],
    "files": [path.name for path in (newest / "files").iterdir()],
    "status": summary.get("status", ""),
    "commit": records["environment"][0]["git"]["commit"],
}
print(json.dumps(tracked))
