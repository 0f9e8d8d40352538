# The template's: updates improve this file and keep your edits.
"""When a checkpoint is saved, and which ones are kept: the best and the last."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from ..section import Section, default_mode


class CheckpointConfig(Section):
    metric: str = Field(default="validation/loss", pattern="^validation/.")
    """Metric that selects the best checkpoint: loss, or any metric of eval/metrics.py."""
    mode: Literal["min", "max"] = "min"
    """Whether the metric is minimized or maximized; by default, judged by its name."""
    every: int = Field(default=500, ge=1)
    """Steps between checkpoints."""

    @model_validator(mode="before")
    @classmethod
    def _derive_mode(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("mode", "") == "":
            metric = str(values.get("metric", "validation/loss"))
            return values | {"mode": default_mode(metric)}
        return values

    def is_due(self, step: int, seconds: float) -> bool:
        """Whether to save after this step, so many seconds after the last checkpoint."""
        return step % self.every == 0

    def to_keep(self, steps: Sequence[int], best: int | None) -> set[int]:
        """The steps whose checkpoints are kept, out of all intact ones (oldest first).

        At least two, so that one may be corrupt: where the last is the best, the one before it too.
        """
        kept = {*steps[-1:], *(step for step in steps if step == best)}
        return kept if len(kept) > 1 else {*steps[-2:]}
