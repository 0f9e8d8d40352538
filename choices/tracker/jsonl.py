# The template's: updates improve this file and keep your edits.
"""No tracker: every run writes metrics.jsonl, and `ml-architect runs` and `plot` compare runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .run import Run


def open_tracker(run: Run, settings: Mapping[str, Any], step: int) -> None:
    """There is nothing to open."""
