# The template's: updates improve this file and keep your edits.
"""Sanity checks before a long run: of the transforms, and of the model.

A model that can't overfit a few batches has a bug. One that predicts held-out examples although it
was trained on shuffled targets sees the target somewhere among its inputs. After
https://karpathy.github.io/2019/04/25/recipe/.
"""

import math
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..config import Config
from ..data import cache
from ..data.dataset import Dataset
from ..data.loader import generator, permutation
from ..errors import ConfigError
from ..eval.evaluate import predict
from ..features import transforms
from ..models.network import per_example_loss
from .device import select_device
from .loop import adapt_model, build_model, train
from .optimizer import build_optimizer
from .run import Run

Checks = list[tuple[bool, str]]  # whether each has passed, and its result


def load_splits(config: Config) -> tuple[Dataset, Dataset]:
    """The training and the validation split, of a config that can be trained.

    Raises:
        ConfigError: there is no such device or metric, or the batch is too large.
    """
    train_set = cache.load_split(config, "train")
    validation_set = cache.load_split(config, "validation")
    size, batch_size = len(train_set), config.training.batch_size
    if size < batch_size:
        message = f"expected at most {size}, the number of training examples (got {batch_size})"
        raise ConfigError(f"training.batch_size: {message}")
    model = build_model(config, train_set, select_device(config.training))
    few = validation_set.select(np.arange(min(batch_size, len(validation_set))))
    known = [f"validation/{name}" for name in predict(model, few, batch_size).metrics()]
    if config.checkpoint.metric not in known:
        message = f"expected one of {', '.join(known)} (got {config.checkpoint.metric!r})"
        raise ConfigError(f"checkpoint.metric: {message}")
    return train_set, validation_set


def check_transforms(config: Config, train_set: Dataset, plot: Path) -> Checks:
    """Check preprocessing and augmentation on a sample, and plot examples before and after."""
    from matplotlib.figure import Figure  # half a second, which `train` doesn't need

    rows = np.sort(permutation(len(train_set), config.seed, "transforms", places=slice(512)))
    before = train_set.preprocess(rows)
    after, again = (
        transforms.augment(before.clone(), generator(0, "augment"), config.features)
        for _ in range(2)
    )
    low, high = transforms.RANGE
    values = torch.cat([before.flatten(), after.flatten()])
    smallest, largest = (value.item() for value in values[~values.isnan()].aminmax())
    kept = after.shape == before.shape and after.dtype == before.dtype
    repeated = torch.allclose(after, again, rtol=0, atol=0, equal_nan=True)
    within = low <= smallest <= largest <= high and math.isfinite(largest - smallest)
    checks = [
        (kept, f"augmentation keeps shape and type: {(*after.shape,)} {after.dtype}"),
        (repeated, "augmentation draws only from the generator it is given"),
        (within, f"values are between {smallest:g} and {largest:g}, RANGE is {low} to {high}"),
    ]
    if train_set.schema.is_classification:
        checks.append(_check_labels(before, after, torch.from_numpy(train_set.targets[rows])))

    figure = Figure(figsize=(9, 8), layout="constrained")
    figure.suptitle("Pairs of examples before and after augmentation")
    panels = list(figure.subplots(6, 8).flat)
    for axes in panels:
        axes.set_axis_off()
    pairs = zip(before[:24], after[:24], strict=True)
    for axes, example in zip(panels, chain.from_iterable(pairs), strict=False):
        transforms.plot_example(axes, example)
    plot.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(plot, dpi=120)
    return checks


def _check_labels(before: Tensor, after: Tensor, labels: Tensor) -> tuple[bool, str]:
    """Whether the nearest neighbor still tells the label: an augmented 6 must not become a 9."""
    before, after = (x.nan_to_num().flatten(1).double() for x in (before, after))
    agreement: list[float] = []
    for queries in (before, after):
        nearest = torch.cdist(queries, before).fill_diagonal_(math.inf).argmin(dim=1)
        agreement.append((labels[nearest] == labels).double().mean().item())
    majority_rate = labels.bincount().max().item() / len(labels)
    noise = 3 * 0.5 / len(labels) ** 0.5  # three standard errors of a proportion
    return (
        agreement[0] - agreement[1] <= max(0.5 * (agreement[0] - majority_rate), noise),
        f"augmentation keeps the label: {agreement[1]:.0%} of the examples have a nearest neighbor "
        f"of their class, {agreement[0]:.0%} before augmentation",
    )


def overfit(config: Config, train_set: Dataset, validation_set: Dataset) -> Checks:
    """Check the untrained model, overfit a few batches, then train on shuffled targets."""
    size = config.overfit.batches * config.training.batch_size
    rows = np.sort(permutation(len(train_set), config.seed, "overfit", places=slice(size)))
    few = replace(train_set.select(rows), augmentation=None)
    initial_loss, checks = _check_untrained(config, train_set, few)

    model = _train(config, "overfit-few", few, validation_set)
    loss, threshold = _losses(model, few, config).mean(), config.overfit.max_loss * initial_loss
    result = f"loss {loss:.4f} on {size} examples, expected at most {threshold:.4f}"
    checks.append((loss.item() <= threshold, f"a few batches are overfitted: {result}"))

    # A model that learned nothing is as good with the targets of other examples as with theirs.
    shuffled = replace(train_set, target_order=permutation(len(train_set), config.seed, "shuffled"))
    model = _train(config, "overfit-shuffled", shuffled, validation_set)
    order = permutation(len(validation_set), config.seed, "shuffled")
    others = _losses(model, replace(validation_set, target_order=order), config)
    gain = others - _losses(model, validation_set, config)
    relative = gain.mean().item() / max(others.mean().item(), 1e-12)
    significant = gain.mean() > 4 * gain.std() / len(gain) ** 0.5
    result = f"loss {relative:.1%} lower than with the targets of other examples, expected 0 %"
    learned = relative > 0.15 and bool(significant)
    checks.append((not learned, f"nothing is learned from shuffled targets: {result}"))
    return checks


def _check_untrained(config: Config, train_set: Dataset, few: Dataset) -> tuple[float, Checks]:
    """The initial loss; whether it is plausible, and whether every parameter gets a gradient.

    Within a few steps, since layers that are initialized to zero pass on nothing at first.
    """
    device = select_device(config.training)
    model = build_model(config, train_set, device)
    missing = {name for name, weight in model.named_parameters() if weight.requires_grad}
    if not missing:
        raise ConfigError("overfit: this model isn't trained by steps: there is nothing to check")
    adapt_model(model, train_set, config)
    loss = _losses(model, few, config).mean().item()
    optimizer = build_optimizer(model, config.training)
    for _ in range(3):
        for inputs, targets in few.batches(config.training.batch_size):
            per_example_loss(model(inputs.to(device)), targets.to(device)).mean().backward()
            for name, weight in model.named_parameters():
                if not weight.numel() or (weight.grad is not None and weight.grad.any()):
                    missing.discard(name)
            optimizer.step()
            optimizer.zero_grad()
    names = f", except {', '.join(sorted(missing)[:5])}" if missing else ""
    plausible, result = math.isfinite(loss), f"the initial loss is {loss:.4g}"
    if few.schema.is_classification or few.schema.vocabulary_size:
        expected = math.log(few.schema.num_outputs)
        plausible = abs(loss / expected - 1) <= 0.5
        result += f"; a uniform guess has {expected:.4g}"
    return loss, [(plausible, result), (not missing, f"every parameter gets a gradient{names}")]


def _train(config: Config, name: str, train_set: Dataset, validation_set: Dataset) -> nn.Module:
    run = Run.create(name, config, train_set, scratch=True)
    with run.locked():
        return train(config, run, train_set, validation_set).modules["model"].eval()


def _losses(model: nn.Module, dataset: Dataset, config: Config) -> Tensor:
    """Of each example, (N,)."""
    device = next(model.parameters()).device
    with torch.no_grad():
        losses = [
            per_example_loss(model(inputs.to(device)), targets.to(device)).double().cpu()
            for inputs, targets in dataset.batches(config.training.batch_size)
        ]
    return torch.cat(losses)
