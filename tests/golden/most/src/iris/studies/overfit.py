# The template's: updates improve this file and keep your edits.
"""Step 4: a model that can't learn a few batches by heart is broken; so is one that knows too much.

Before anything is trained, the first loss and the gradients are looked at; both tell of faults that
a long run would only blur. Then two short runs. The first sees only a few batches and has to fit
them. The second sees all records with shuffled labels, from which nothing can be learnt; where it
still does better than chance on held-out records, the truth reaches it by another way than the
labels. After A Recipe for Training Neural Networks (https://karpathy.github.io/2019/04/25/recipe/).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.console import Console
from torch import nn

from ..config import Config
from ..data.dataset import Dataset
from ..data.loader import derive_seed
from ..errors import DataError
from ..eval.evaluate import predict, untrained_loss
from ..models.network import losses
from ..training.device import Device
from ..training.loop import build_untrained, train
from ..training.optimizer import build_optimizer
from ..training.run import Run

MARGIN = 0.15  # of the way from chance to certainty
TOLERANCE = 0.5  # of the expected loss: a fault in the initialisation is a matter of factors
STEPS = 3  # of the optimizer, for layers that begin at zero and pass on nothing at first


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that a sound model does."""

    name: str
    found: str
    expected: str
    passed: bool
    causes: tuple[str, str, str]  # of a failure, the likeliest first

    def __str__(self) -> str:
        line = f"{self.name}: {self.found} (expected {self.expected})"
        if self.passed:
            return f"passed  {line}"
        causes = (f"\n          {number}. {each}" for number, each in enumerate(self.causes, 1))
        return f"FAILED  {line}\n        The likeliest causes:{''.join(causes)}"


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
) -> list[Check]:
    """Look at the untrained model, train both runs, and compare with what was to be expected."""
    random = np.random.Generator(np.random.Philox(derive_seed(config.seed, "overfit")))
    order = random.permutation(len(training))  # since files are often sorted by class
    few = training.only(np.sort(order[: wanted(config)]))
    device = Device.choose(config.training)
    checks = [
        _first_loss(build_untrained(config, training, device), few, config),
        _gradients(build_untrained(config, training, device), few, config),
    ]

    console.print(f"Learning {config.overfit.batches} batches by heart:")
    with run.locked():
        model = train(config, run, few, held_out, console).model
        checks.append(_by_heart(model, few, config))

    console.print("Learning shuffled labels:")
    noise = replace(training, shuffled=random.permutation(len(training)))
    with shuffled.locked():
        model = train(config, shuffled, noise, held_out, console).model
        checks.append(_blind(model, held_out, training, config))
    return checks


def _first_loss(model: nn.Module, few: Dataset, config: Config) -> Check:
    """As training sees it: layers that normalise go by the batch, since they know nothing yet."""
    device = Device.choose(config.training)
    model.train()
    total = 0.0
    with torch.no_grad():
        for batch in few.plain().in_order(config.training.batch_size):
            inputs, labels = device.place(batch)
            total += losses(model(inputs), labels).sum().item()
    found, expected = total / len(few), untrained_loss(few)
    return Check(
        name="first loss",
        found=f"{found:.3f}",
        expected=f"{expected:.3f} of a guess that knows nothing, give or take {TOLERANCE:.0%}",
        passed=abs(found - expected) <= TOLERANCE * expected,
        causes=(
            "the last layer begins with too large weights, or its bias isn't near zero",
            "inputs aren't scaled: look at what features/transforms.py hands on",
            "the loss is summed where it should be averaged, or is fed probabilities for logits",
        ),
    )


def _gradients(model: nn.Module, few: Dataset, config: Config) -> Check:
    """Whether each parameter gets a gradient within the first few steps."""
    device = Device.choose(config.training)
    trained = {name: each for name, each in model.named_parameters() if each.requires_grad}
    optimizer, reached = build_optimizer(model, config.training), set[str]()
    model.train()
    batches = list(few.plain().in_order(config.training.batch_size))
    for _ in range(STEPS):
        for batch in batches:
            inputs, labels = device.place(batch)
            optimizer.zero_grad()
            losses(model(inputs), labels).mean().backward()
            reached |= {
                name
                for name, each in trained.items()
                if each.numel() == 0 or (each.grad is not None and bool(each.grad.any()))
            }
            optimizer.step()
    missed = [name for name in trained if name not in reached]
    names = f", not {', '.join(missed[:5])}{' and more' if len(missed) > 5 else ''}"
    return Check(
        name="gradients",
        found=f"reach {len(reached)} of {len(trained)} parameters{names if missed else ''}",
        expected="all of them",
        passed=not missed,
        causes=(
            "a layer is made in __init__ and never called in forward",
            "something is detached on the way: .detach(), .item(), numpy(), no_grad, an argmax",
            "units are dead: ReLUs behind a large negative bias, or a gate that stays at zero",
        ),
    )


def _by_heart(model: nn.Module, few: Dataset, config: Config) -> Check:
    found = predict(model, few, config.training.batch_size).loss
    threshold = config.overfit.loss_threshold
    return Check(
        name="learning by heart",
        found=f"loss {found:.4f} on {len(few)} records",
        expected=f"at most {threshold:g}",
        passed=found <= threshold,
        causes=(
            "the learning rate is off: try a third and three times as much, or more steps",
            "equal inputs with different labels, or labels that moved against the inputs",
            "something still regularises: dropout, weight decay, augmentation, a tiny model",
        ),
    )


def _blind(model: nn.Module, held_out: Dataset, training: Dataset, config: Config) -> Check:
    predictions = predict(model, held_out, config.training.batch_size)
    skill = predictions.skill(training.labels)
    return Check(
        name="shuffled labels",
        found=f"skill {skill:.3f} on held-out records (0 is chance, 1 certainty)",
        expected=f"at most {MARGIN:g}",
        passed=skill <= MARGIN,
        causes=(
            "the label is among the inputs: a column, a file's name, a border of the image",
            "the network or a transform reads the truth itself, past the labels it is given",
            "too few held-out records to tell: raise data.validation_fraction",
        ),
    )
