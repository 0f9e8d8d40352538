# The template's: updates improve this file and keep your edits.
"""When a checkpoint is saved, and which ones are kept: by the clock, for preemptible machines.

A kill then costs at most `checkpoint.minutes`, however many steps they hold. A machine that is
taken away with a warning (SIGTERM, or SIGUSR1 before a time limit) costs nothing: the step is
finished and saved, and the exit code is 75. Have the scheduler start the same command again:
`train --config configs/full.toml --or-resume`.

Slurm: `#SBATCH --requeue --signal=USR1@120`, then the command with `srun` before it, and after it
`[ $? -eq 75 ] && scontrol requeue $SLURM_JOB_ID`.
Kubernetes: a Job with `restartPolicy: OnFailure`, a `backoffLimit` above the number of expected
preemptions, and a `terminationGracePeriodSeconds` that is enough for a step and a checkpoint.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from ..section import Section, default_mode


class CheckpointConfig(Section):
    metric: str = Field(default="validation/loss", pattern="^validation/.")
    """Metric that selects the best checkpoint: loss, or any metric of eval/metrics.py."""
    mode: Literal["min", "max"] = "min"
    """Whether the metric is minimized or maximized; by default, judged by its name."""
    minutes: float = Field(default=10.0, gt=0)
    """Wall-clock time between checkpoints."""

    @model_validator(mode="before")
    @classmethod
    def _derive_mode(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("mode", "") == "":
            metric = str(values.get("metric", "validation/loss"))
            return values | {"mode": default_mode(metric)}
        return values

    def is_due(self, step: int, seconds: float) -> bool:
        """Whether to save after this step, so many seconds after the last checkpoint."""
        return seconds >= self.minutes * 60

    def to_keep(self, steps: Sequence[int], best: int | None) -> set[int]:
        """The steps whose checkpoints are kept, out of all intact ones (oldest first).

        The best and the newest two, so that one may be corrupt.
        """
        return {*steps[-2:], *(step for step in steps if step == best)}
