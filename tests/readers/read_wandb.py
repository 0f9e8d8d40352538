"""Reads the newest offline part of a run back with what wandb brings for that: `wandb leet`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def flat(values: dict[str, Any]) -> dict[str, float]:
    """Metrics by their name; wandb's own begin with an underscore."""
    return {name: value for name, value in values.items() if not name.startswith("_")}


newest = Path("runs", sys.argv[1], "wandb", "latest-run").resolve()
command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(newest)]
printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
records = [json.loads(line) for line in printed.splitlines()]
of: dict[str, list[dict[str, Any]]] = {}
for record in records:
    of.setdefault(record["type"], []).append(record[record["type"]])
summary = {}
for each in of["summary"]:
    summary |= each["update"]
said = {
    "runs": len({each["run_id"] for each in of["run"]}),
    "values": [[each["item"]["_step"], flat(each["item"])] for each in of["history"]],
    "parameters": of["run"][0]["config"]["update"],
    "files": [path.name for path in (newest / "files").iterdir()],
    "status": summary.get("status", ""),
    "commit": of["environment"][0]["git"]["commit"],
}
print(json.dumps(said))
