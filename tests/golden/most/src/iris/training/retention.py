# The template's: updates improve this file and keep your edits.
"""The chosen retention: the newest checkpoints, and the best however old it is."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import CheckpointConfig


def retained(steps: Sequence[int], best: int | None, config: CheckpointConfig) -> set[int]:
    """The steps whose checkpoints stay, out of all that there are (oldest first)."""
    return {*steps[-config.keep :], *(step for step in steps if step == best)}
