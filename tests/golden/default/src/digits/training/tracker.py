# The template's: updates improve this file and keep your edits.
"""The chosen tracker: none besides `metrics.jsonl`, which every run writes anyway."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ..protocols import Metrics, Tracker


class JsonlTracker:
    """Does nothing: the metrics already stand in the run's folder, a line a logged step."""

    def log(self, step: int, metrics: Metrics) -> None:
        """See `Tracker`."""

    def close(self, status: Literal["finished", "interrupted", "failed"]) -> None:
        """See `Tracker`."""


def open_tracker(run: Path, settings: Mapping[str, Any], step: int) -> tuple[Tracker, str]:
    """The tracker of a run and the run's id in it; values after `step` are forgotten."""
    return JsonlTracker(), run.name
