# The template's: updates improve this file and keep your edits.
"""Where a run came from, as a table for its report: what matters of run.json."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import Config, flat, to_dict
from ..page import table

PACKAGES = ("torch", "numpy")


def origin(provenance: Mapping[str, Any]) -> str:
    """HTML. What an older run doesn't state is left out."""
    git, packages = provenance["git"], provenance["packages"]
    device: Mapping[str, Any] = provenance.get("device", {})
    changes = "with" if git.get("diff") else "without"
    program, *words = provenance.get("command", [""])
    stated = {
        "started": provenance.get("started"),
        "command": shlex.join([Path(program).name, *words]),
        "continued": f"{len(again)} times" if (again := provenance.get("continued")) else None,
        "git commit": git["commit"] and f"{git['commit']}, {changes} uncommitted changes",
        "data": provenance["data"],
        "seed": provenance.get("seed"),
        "device": ", ".join(f"{name} {value}" for name, value in device.items()) or None,
        "python": provenance.get("python"),
        **{name: packages.get(name) for name in PACKAGES},
        "template": provenance.get("template"),
    }
    rows = [(name, str(value)) for name, value in stated.items() if value is not None]
    settings, defaults = flat(provenance["config"]), flat(to_dict(Config()))
    differing = [
        (name, f"{value} (default {defaults[name]})" if name in defaults else f"{value}")
        for name, value in settings.items()
        if value != defaults.get(name)
    ]
    return (
        f"<h2>Where it came from</h2>{table(rows)}"
        f"<h3>Settings that differ from the defaults</h3>"
        f"{table(differing) if differing else '<p>None.</p>'}"
    )
