# The template's: updates improve this file and keep your edits.
"""When a checkpoint is saved, and which ones are kept: the best and the last."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..section import default_mode, require


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    metric: str = "validation/loss"
    """Metric that selects the best checkpoint: loss, or any metric of eval/metrics.py."""
    mode: Literal["", "min", "max"] = ""
    """Whether the metric is minimized or maximized; by default, judged by its name."""
    every: int = 500
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        require(
            self,
            ("metric", bool(re.match("validation/.", self.metric)), "validation/ and a name"),
            ("every", self.every >= 1, "at least 1"),
        )
        if not self.mode:
            object.__setattr__(self, "mode", default_mode(self.metric))

    def is_due(self, step: int, seconds: float) -> bool:
        """Whether to save after this step, so many seconds after the last checkpoint."""
        return step % self.every == 0

    def to_keep(self, steps: Sequence[int], best: int | None) -> set[int]:
        """The steps whose checkpoints are kept, out of all intact ones (oldest first).

        At least two, so that one may be corrupt: where the last is the best, the one before it too.
        """
        kept = {*steps[-1:], *(step for step in steps if step == best)}
        return kept if len(kept) > 1 else {*steps[-2:]}
