# The template's: updates improve this file and keep your edits.
"""The chosen strategy: save every so many steps; the newest stay, and the best, however old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import CheckpointConfig


@dataclass(frozen=True, slots=True)
class Strategy:
    """See `CheckpointStrategy`."""

    config: CheckpointConfig

    def due(self, step: int, seconds: float) -> bool:
        """See `CheckpointStrategy`."""
        return step % self.config.every == 0

    def retained(self, steps: Sequence[int], best: int | None) -> set[int]:
        """See `CheckpointStrategy`."""
        return {*steps[-self.config.keep :], *(step for step in steps if step == best)}
