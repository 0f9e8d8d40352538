# The template's: updates improve this file and keep your edits.
"""The chosen tracker: the run's folder itself, which every run writes anyway.

Metrics are in `metrics.jsonl`, parameters in `config.toml`, provenance in `run.json`. The command
`plot RUN…` draws the curves of one run or of several.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..protocols import Metrics, Tracker
from .run import Run


@dataclass(frozen=True, slots=True)
class JsonlTracker:
    """Has nothing to do."""

    id: str

    def log(self, step: int, metrics: Metrics) -> None:
        """See `Tracker`."""

    def artifact(self, path: Path) -> None:
        """See `Tracker`."""

    def close(self, status: Literal["finished", "interrupted", "failed"]) -> None:
        """See `Tracker`."""


def open_tracker(run: Run, settings: Mapping[str, Any], step: int) -> Tracker:
    """The tracker of a run that begins with step 0, or that goes on after a later one."""
    return JsonlTracker(run.id)
