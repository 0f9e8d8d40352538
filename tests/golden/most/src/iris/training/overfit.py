# The template's: updates improve this file and keep your edits.
"""Step 4: sanity checks. A model that can't overfit a few batches has a bug.

First the initial loss and the gradients, which show bugs that a long run would hide. Then two short
runs. The first sees only a few batches and has to overfit them. The second sees all examples with
shuffled labels, from which nothing can be learned; if it is still better than chance on held-out
examples, the label leaks into the inputs. After A Recipe for Training Neural Networks
(https://karpathy.github.io/2019/04/25/recipe/).
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
from .device import Device
from .loop import build_untrained, train
from .optimizer import build_optimizer
from .run import Run

MAX_SKILL = 0.15  # with shuffled labels; 0 is chance, 1 is perfect
TOLERANCE = 0.5  # of the expected loss: a bad initialization is wrong by a factor
STEPS = 3  # of the optimizer, for layers that begin at zero and pass on nothing at first


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One sanity check of the model."""

    name: str
    result: str
    expected: str
    passed: bool
    causes: tuple[str, str, str]  # of a failure, most likely first

    def __str__(self) -> str:
        line = f"{self.name}: {self.result} (expected {self.expected})"
        if self.passed:
            return f"passed  {line}"
        causes = (f"\n          {number}. {cause}" for number, cause in enumerate(self.causes, 1))
        return f"FAILED  {line}\n        Likely causes:{''.join(causes)}"


def num_examples(config: Config) -> int:
    """The number of examples to overfit."""
    return config.overfit.batches * config.training.batch_size


def require_enough(config: Config, training: Dataset) -> None:
    """Find out before a run is created whether there are enough examples.

    Raises:
        DataError: there are fewer than the batches hold.
    """
    if num_examples(config) > len(training):
        raise DataError(
            f"overfit.batches = {config.overfit.batches}: expected at most "
            f"{len(training) // config.training.batch_size} of {config.training.batch_size} "
            f"examples, since there are {len(training)}; or lower training.batch_size"
        )


def overfit(
    config: Config, run: Run, shuffled: Run, training: Dataset, held_out: Dataset, console: Console
) -> list[Check]:
    """Check the untrained model, then train both runs and check these."""
    rng = np.random.Generator(np.random.Philox(derive_seed(config.seed, "overfit")))
    order = rng.permutation(len(training))  # since files are often sorted by class
    few = training.only(np.sort(order[: num_examples(config)]))
    device = Device.choose(config.training)
    checks = [
        _initial_loss(build_untrained(config, training, device), few, config),
        _gradients(build_untrained(config, training, device), few, config),
    ]

    console.print(f"Overfitting {config.overfit.batches} batches:")
    with run.locked():
        model = train(config, run, few, held_out, console).model
        checks.append(_memorized(model, few, config))

    console.print("Training on shuffled labels:")
    noise = replace(training, shuffled=rng.permutation(len(training)))
    with shuffled.locked():
        model = train(config, shuffled, noise, held_out, console).model
        checks.append(_no_leak(model, held_out, training, config))
    return checks


def _initial_loss(model: nn.Module, few: Dataset, config: Config) -> Check:
    """In training mode, since batch normalization has no running statistics yet."""
    device = Device.choose(config.training)
    model.train()
    total = 0.0
    with torch.no_grad():
        for batch in few.plain().in_order(config.training.batch_size):
            inputs, labels = device.place(batch)
            total += losses(model(inputs), labels).sum().item()
    loss, expected = total / len(few), untrained_loss(few)
    return Check(
        name="initial loss",
        result=f"{loss:.3f}",
        expected=f"{expected:.3f}, the loss without any knowledge, within {TOLERANCE:.0%}",
        passed=abs(loss - expected) <= TOLERANCE * expected,
        causes=(
            "the initial weights of the last layer are too large, or its bias isn't near zero",
            "inputs aren't scaled: see what features/transforms.py returns",
            "the loss is a sum instead of a mean, or gets probabilities instead of logits",
        ),
    )


def _gradients(model: nn.Module, few: Dataset, config: Config) -> Check:
    """Whether each parameter gets a gradient within the first few steps."""
    device = Device.choose(config.training)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
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
                for name, weight in trained.items()
                if weight.numel() == 0 or (weight.grad is not None and bool(weight.grad.any()))
            }
            optimizer.step()
    missed = [name for name in trained if name not in reached]
    names = f", not {', '.join(missed[:5])}{' and more' if len(missed) > 5 else ''}"
    return Check(
        name="gradients",
        result=f"reach {len(reached)} of {len(trained)} parameters{names if missed else ''}",
        expected="all of them",
        passed=not missed,
        causes=(
            "a layer is created in __init__ and never called in forward",
            "something is detached: .detach(), .item(), numpy(), no_grad, an argmax",
            "units are dead: ReLUs after a large negative bias, or a gate that stays at zero",
        ),
    )


def _memorized(model: nn.Module, few: Dataset, config: Config) -> Check:
    loss = predict(model, few, config.training.batch_size).loss
    threshold = config.overfit.loss_threshold
    return Check(
        name="overfitting a few batches",
        result=f"loss {loss:.4f} on {len(few)} examples",
        expected=f"at most {threshold:g}",
        passed=loss <= threshold,
        causes=(
            "the learning rate is off: try a third and three times as much, or more steps",
            "equal inputs with different labels, or labels that aren't aligned with the inputs",
            "something still regularizes: dropout, weight decay, augmentation, a tiny model",
        ),
    )


def _no_leak(model: nn.Module, held_out: Dataset, training: Dataset, config: Config) -> Check:
    predictions = predict(model, held_out, config.training.batch_size)
    skill = predictions.skill(training.labels)
    return Check(
        name="shuffled labels",
        result=f"skill {skill:.3f} on held-out examples (0 is chance, 1 is perfect)",
        expected=f"at most {MAX_SKILL:g}",
        passed=skill <= MAX_SKILL,
        causes=(
            "the label is among the inputs: a column, a file's name, a border of the image",
            "the network or a transform reads the ground truth itself",
            "too few held-out examples to tell: raise data.validation_fraction",
        ),
    )
