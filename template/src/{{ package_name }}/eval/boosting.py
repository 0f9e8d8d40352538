# The template's: updates improve this file and keep your edits.
"""Is the model better than gradient boosting? Run `python -m PACKAGE.eval.boosting RUN`.

`train --model.kind boosting` trains the same boosting as a run of its own.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..config import Config, from_dict
from ..data.cache import load_split
from ..data.dataset import Dataset
from ..data.loader import derive_seed
from ..data.validation import Array
from ..errors import PROGRAM, ProjectError, RunError
from ..models.trees import BoostedTrees
from ..section import default_mode
from ..training.loop import load_best
from ..training.run import Run
from .evaluate import bootstrap, predict
from .metrics import metrics

ITERATIONS = 200


def predict_baselines(
    train_set: Dataset, test_set: Dataset, seed: int, *, balanced: bool
) -> dict[str, Array]:
    """Predictions of gradient boosting, and of a constant, for the test split.

    Boosting sees the same preprocessed inputs as the network.

    Args:
        train_set: what both learn from.
        test_set: what both predict.
        seed: of the config.
        balanced: whether each class weighs as much as any other.
    """
    plain_set = replace(train_set, augmentation=None)
    inputs, targets = map(torch.cat, zip(*plain_set.batches(1024), strict=True))
    classes = train_set.schema.classes
    torch.manual_seed(derive_seed(seed, "weights"))  # as in training
    boosting = BoostedTrees(inputs.shape[1], len(classes) or 1, ITERATIONS)
    boosting.fit(inputs, targets, balanced=balanced)
    outputs = torch.cat([boosting(inputs) for inputs, _ in test_set.batches(1024)])

    count = len(test_set)
    if not classes:
        mean = train_set.targets.mean(dtype=np.float64)
        return {"boosting": outputs[:, 0].numpy(), "constant": np.full(count, mean)}
    frequencies = np.bincount(train_set.targets, minlength=len(classes)) / len(train_set)
    constant = np.tile(frequencies, (count, 1))
    return {"boosting": outputs.softmax(dim=1).numpy(), "constant": constant}


def compare(predictions: Mapping[str, Array], targets: Array) -> str:
    """A table of all metrics with the differences between network and boosting, and a verdict.

    The differences are paired, on the same sample of examples, so that those which are hard for
    both cancel out. An interval that includes 0 means that this test split doesn't tell.

    Args:
        predictions: of "network", "boosting" and others, (N, ...) each.
        targets: (N,).
    """
    results = {name: metrics(values, targets) for name, values in predictions.items()}

    def differences(rows: Array) -> dict[str, float]:
        network, boosting = (
            metrics(predictions[name][rows], targets[rows]) for name in ("network", "boosting")
        )
        return {name: network[name] - boosting[name] for name in network}

    intervals = bootstrap(differences, len(targets))
    header = "".join(f"{name:>11}" for name in results)
    lines = [f"{'':>18}{header}  network - boosting (95 % bootstrap interval)"]
    better: list[str] = []
    worse: list[str] = []
    for name, value in results["network"].items():
        low, high = intervals[name]
        verdict = "no significant difference"
        if not low <= 0 <= high:
            try:
                is_better = (low > 0) == (default_mode(name) == "max")
                (better if is_better else worse).append(name)
                verdict = "better" if is_better else "worse"
            except ValueError:
                verdict = "different"
        cells = "".join(f"{result[name]:>11.4g}" for result in results.values())
        difference = value - results["boosting"][name]
        interval = f"{difference:+.4g} ({low:+.4g} to {high:+.4g})"
        lines.append(f"{name:>18}{cells}  {interval}: {verdict}")

    lines.append(f"{len(targets)} test examples. {_verdict(better, worse)}")
    return "\n".join(lines)


def _verdict(better: list[str], worse: list[str]) -> str:
    if worse and not better:
        advice = f"train it with: {PROGRAM} train --model.kind boosting --run-name boosting"
        return f"Boosting is the better model, by {', '.join(worse)}; {advice}"
    if better and not worse:
        return f"The network is the better model, by {', '.join(better)}"
    if better:
        return f"The network is better by {', '.join(better)}, boosting by {', '.join(worse)}"
    return "They don't tell which one is better; boosting is the simpler model"


def load(run: Run) -> tuple[Config, Dataset, Dataset]:
    """The settings of a run that trained a network, and its training and test split."""
    config = from_dict(run.read_config())
    if getattr(config.model, "kind", "network") == "boosting":
        raise RunError(f"{run.folder} is boosting itself: expected the run of a network")
    train_set, test_set = load_split(config, "train"), load_split(config, "test")
    run.require_same(config, test_set.digest)
    return config, train_set, test_set


def main() -> None:
    parser = ArgumentParser(description="Compare a run with gradient boosting and a constant.")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    run = Run.open(parser.parse_args().run)
    config, train_set, test_set = load(run)
    model, _ = load_best(config, run)
    predictions = {"network": predict(model, test_set, config.training.batch_size).values}
    balanced = getattr(config.model, "class_weights", "off") == "balanced"
    predictions |= predict_baselines(train_set, test_set, config.seed, balanced=balanced)
    print(compare(predictions, test_set.targets))


if __name__ == "__main__":
    try:
        main()
    except ProjectError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
