# The template's: updates improve this file and keep your edits.
"""The chosen strategy: save by the clock, for a machine that can be taken away at any moment.

A kill costs so many minutes and a step, however many steps they hold. A machine that is taken away
politely (SIGTERM, or SIGUSR1 where a scheduler warns ahead of its time limit) costs nothing: the
step is finished and saved, and the exit code is 75, "try again". Have the scheduler start the same
command again: `train --config configs/full.toml --or-resume`.

Slurm: `#SBATCH --requeue --signal=USR1@120`, then the command with `srun` before it, and after it
`[ $? -eq 75 ] && scontrol requeue $SLURM_JOB_ID`.
Kubernetes: a Job with `restartPolicy: OnFailure`, a `backoffLimit` as high as the number of times
that it may be taken away, and `terminationGracePeriodSeconds` for a step and a checkpoint.
"""

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
        return seconds >= self.config.minutes * 60

    def retained(self, steps: Sequence[int], best: int | None) -> set[int]:
        """See `CheckpointStrategy`. The newest two, so that one may be damaged, and the best."""
        return {*steps[-2:], *(step for step in steps if step == best)}
