# The template's: updates improve this file and keep your edits.
"""The chosen retention: the best checkpoint and the last."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import CheckpointConfig


def retained(steps: Sequence[int], best: int | None, config: CheckpointConfig) -> set[int]:
    """The steps whose checkpoints stay, out of all that there are (oldest first).

    Where the last is the best, the one before it stays too: two, so that one may be damaged.
    """
    kept = {*steps[-1:], *(step for step in steps if step == best)}
    return kept if len(kept) > 1 else {*steps[-2:]}
