# The template's: updates improve this file and keep your edits.
"""Is the model better than gradient boosting? Run `python -m PACKAGE.eval.boosting RUN`.

Boosting is fitted as `train --model.kind boosting` does, with the other settings of the run.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

import torch

from ..config import from_dict, merge
from ..data.cache import load_split
from ..data.validation import Array
from ..errors import PROGRAM, RunError, report_error
from ..section import default_mode
from ..training.loop import adapt_model, build_model, load_best
from ..training.run import Run
from .evaluate import bootstrap, predict
from .metrics import metrics


def predict_both(run: Run) -> tuple[Array, Array, Array]:
    """Predictions of the run's network and of boosting for the test split, and its targets.

    Raises:
        RunError: the run is boosting itself.
    """
    values = run.read_config()
    config = from_dict(values)
    boosted = from_dict(merge(values, {"model": {"kind": "boosting"}}))
    if boosted == config:
        raise RunError(f"{run.folder} is boosting itself: expected the run of a network")
    train_set, test_set = load_split(config, "train"), load_split(config, "test")
    run.require_same(config, test_set.digest)

    network, _ = load_best(config, run)
    boosting = build_model(boosted, train_set, torch.device("cpu"))
    adapt_model(boosting, train_set, boosted)
    batch_size = config.training.batch_size
    predictions = [predict(model, test_set, batch_size).values for model in (network, boosting)]
    return predictions[0], predictions[1], test_set.targets


def compare(network: Array, boosting: Array, targets: Array) -> str:
    """A table of all metrics with the differences between network and boosting, and a verdict.

    The differences are paired, on the same sample of examples, so that those which are hard for
    both cancel out. An interval that includes 0 means that this test split doesn't tell.

    Args:
        network: its predictions, (N, ...).
        boosting: its predictions, (N, ...).
        targets: (N,).
    """

    def differences(rows: Array) -> dict[str, float]:
        of_boosting = metrics(boosting[rows], targets[rows])
        of_network = metrics(network[rows], targets[rows])
        return {name: value - of_boosting[name] for name, value in of_network.items()}

    intervals = bootstrap(differences, len(targets))
    of_boosting = metrics(boosting, targets)
    lines = [f"{'':>18}    network   boosting  network - boosting (95 % bootstrap interval)"]
    named: dict[str, list[str]] = {"better": [], "worse": [], "different": []}
    for name, value in metrics(network, targets).items():
        low, high = intervals[name]
        verdict = "no significant difference"
        if not low <= 0 <= high:
            try:
                is_better = (low > 0) == (default_mode(name) == "max")
                verdict = "better" if is_better else "worse"
            except ValueError:  # the name doesn't tell
                verdict = "different"
            named[verdict].append(name)
        interval = f"{value - of_boosting[name]:+.4g} ({low:+.4g} to {high:+.4g})"
        lines.append(f"{name:>18}{value:>11.4g}{of_boosting[name]:>11.4g}  {interval}: {verdict}")

    better, worse = ", ".join(named["better"]), ", ".join(named["worse"])
    summary = "They don't tell which one is better; boosting is the simpler model"
    if better and worse:
        summary = f"The network is better by {better}, boosting by {worse}"
    elif better:
        summary = f"The network is the better model, by {better}"
    elif worse:
        advice = f"train it with: {PROGRAM} train --model.kind boosting --run-name boosting"
        summary = f"Boosting is the better model, by {worse}; {advice}"
    return "\n".join([*lines, f"{len(targets)} test examples. {summary}"])


def main() -> int:
    parser = ArgumentParser(description="Compare a run with gradient boosting.")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    args = parser.parse_args()
    try:
        print(compare(*predict_both(Run.open(args.run))))
    except Exception as error:
        return report_error(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
