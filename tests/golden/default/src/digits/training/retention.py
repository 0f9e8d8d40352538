# The template's: updates improve this file and keep your edits.
"""The chosen strategy: save every so many steps; the best checkpoint and the last stay."""

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
        """See `CheckpointStrategy`.

        Where the last is the best, the one before it stays too: two, so that one may be damaged.
        """
        kept = {*steps[-1:], *(step for step in steps if step == best)}
        return kept if len(kept) > 1 else {*steps[-2:]}
