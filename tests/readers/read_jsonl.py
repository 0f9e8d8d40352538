"""Reads a run back from its own folder."""

import json
import sys
import tomllib
from pathlib import Path

folder = Path("runs", sys.argv[1])
lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
said = {
    "runs": 1,
    "values": [[line.pop("step"), line] for line in lines],
    "parameters": tomllib.loads((folder / "config.toml").read_text()),
    "files": [path.name for path in folder.iterdir()],
}
print(json.dumps(said))
