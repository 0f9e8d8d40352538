"""Reads a run back with TensorBoard's own event reader."""

import json
import sys
import textwrap
import tomllib
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(
    f"runs/{sys.argv[1]}/tensorboard", size_guidance={"scalars": 0, "tensors": 0}
)
events.Reload()
tags: dict[str, Any] = events.Tags()
texts = {
    tag.removesuffix("/text_summary"): events.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
    for tag in tags["tensors"]
}
tracked = {
    "runs": 1,
    "values": [
        [event.step, {tag: event.value}] for tag in tags["scalars"] for event in events.Scalars(tag)
    ],
    "parameters": tomllib.loads(textwrap.dedent(texts["config.toml"])),
    "files": list(texts),
    "status": texts.get("status", ""),
    "commit": json.loads(textwrap.dedent(texts["run.json"]))["git"]["commit"],
}
print(json.dumps(tracked))
