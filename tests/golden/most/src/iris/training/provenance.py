# The template's: updates improve this file and keep your edits.
"""Where a run comes from: all that it takes to make it again."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..config import Config, to_dict
from ..errors import command_line

FORMAT = 1
"""Version of the run format, which ml-architect documents."""


def provenance(config: Config, data: str) -> dict[str, Any]:
    """What run.json says of a run that begins now.

    Args:
        config: as resolved from file and command line.
        data: the digest of the examples.
    """
    from .device import Device  # torch takes seconds, and a run that has ended needs none

    return {
        "format": FORMAT,
        "id": uuid4().hex,  # the run's in trackers, wherever its folder moves
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "seed": config.seed,
        "config": to_dict(config),
        "data": data,
        "template": _template_version(),
        "git": {
            "commit": _git("rev-parse", "HEAD").strip() or None,
            "diff": _git("diff", "HEAD"),
            "untracked": _git("ls-files", "--others", "--exclude-standard").splitlines(),
        },
        "python": platform.python_version(),
        "device": Device.choose(config.training).describe(),
        "host": {"name": platform.node(), "system": platform.platform(), "cpus": os.cpu_count()},
        "packages": {
            each.name: each.version
            for each in sorted(distributions(), key=lambda each: each.name.lower())
        },
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What could make a run end otherwise than an earlier one of the same config, a line each."""
    lines: list[str] = []
    for name in ("python", "device"):
        if before.get(name) != now[name]:
            lines.append(f"{name} was {before.get(name)}, is {now[name]}")
    earlier, present = before["git"], now["git"]
    if earlier["commit"] != present["commit"]:
        lines.append(f"the commit was {earlier['commit']}, is {present['commit']}")
    if earlier["diff"] != present["diff"]:
        lines.append("the uncommitted changes are others; those of then are git.diff in run.json")
    if earlier["untracked"] != present["untracked"]:
        lines.append("other files lie about that git doesn't know; those of then are git.untracked")
    packages = sorted({*before["packages"].items()} ^ {*now["packages"].items()})
    if changed := sorted({name for name, _ in packages}):
        lines.append(f"other versions of {', '.join(changed)}")
    if before.get("changes"):
        lines.append("it went on with other settings or data at times: see changes in its run.json")
    return lines


def _git(*arguments: str) -> str:
    """What git prints; nothing where there is no git, or no repository, or no commit yet."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, errors="replace"
        )
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _template_version() -> str | None:
    answers = Path(".copier-answers.yml")
    lines = answers.read_text(encoding="utf-8").splitlines() if answers.is_file() else []
    versions = (line.removeprefix("_commit:") for line in lines if line.startswith("_commit:"))
    return next((version.strip().strip("'\"") for version in versions), None)
