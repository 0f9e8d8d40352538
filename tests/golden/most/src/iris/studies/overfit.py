# The template's: updates improve this file and keep your edits.
"""Step 4: a model that can't learn a few batches by heart is broken; so is one that knows too much.

Two short runs. The first sees only a few batches and has to fit them; if it can't, look at the
network, the loss and the learning rate before anything larger. The second sees all records with
shuffled labels, from which nothing can be learnt; where it still does better than chance on
held-out records, the truth reaches it by another way than the labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console

from ..config import Config
from ..data.dataset import Dataset
from ..data.loader import derive_seed
from ..errors import DataError
from ..eval.evaluate import predict
from ..training.loop import train
from ..training.run import Run

MARGIN = 0.15  # of the way from chance to certainty


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the two runs showed."""

    loss: float  # on the few batches, without dropout and augmentation
    loss_threshold: float
    skill: float  # on held-out records, after shuffled labels: 0 is chance, 1 is certainty
    skill_threshold: float = MARGIN

    @property
    def learns(self) -> bool:
        """Whether the model fitted the few batches."""
        return self.loss <= self.loss_threshold

    @property
    def is_blind(self) -> bool:
        """Whether nothing about held-out records was learnt from noise."""
        return self.skill <= self.skill_threshold

    @property
    def passed(self) -> bool:
        """Whether the step counts as done."""
        return self.learns and self.is_blind


def wanted(config: Config) -> int:
    """The number of records to learn by heart."""
    return config.overfit.batches * config.training.batch_size


def require_enough(config: Config, training: Dataset) -> None:
    """Find out before a run is made whether there are records enough.

    Raises:
        DataError: there are fewer than the batches hold.
    """
    if wanted(config) > len(training):
        raise DataError(
            f"overfit.batches = {config.overfit.batches}: expected at most "
            f"{len(training) // config.training.batch_size} of {config.training.batch_size} "
            f"records, since there are {len(training)}; or lower training.batch_size"
        )


def overfit(
    config: Config, run: Run, shuffled: Run, training: Dataset, held_out: Dataset, console: Console
) -> Verdict:
    """Train both runs and compare them with what was to be expected."""
    console.print(f"Learning {config.overfit.batches} batches by heart:")
    random = np.random.Generator(np.random.Philox(derive_seed(config.seed, "overfit")))
    order = random.permutation(len(training))  # since files are often sorted by class
    rows = np.sort(order[: wanted(config)])
    few = replace(training, rows=rows)
    with run.locked():
        model = train(config, run, few, held_out, console).model
        learnt = predict(model, few, config.training.batch_size)

    console.print("Learning shuffled labels:")
    noise = replace(training, shuffled=random.permutation(len(training)))
    with shuffled.locked():
        model = train(config, shuffled, noise, held_out, console).model
        blind = predict(model, held_out, config.training.batch_size)

    return Verdict(
        loss=learnt.loss,
        loss_threshold=config.overfit.loss_threshold,
        skill=blind.skill(training.labels),
    )
