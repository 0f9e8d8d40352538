# The template's: updates improve this file and keep your edits.
"""Is the model better than gradient boosting? Run `python -m PACKAGE.eval.boosting RUN`.

On tables, boosted trees with default settings are hard to beat (https://arxiv.org/abs/2207.08815).
"""

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.preprocessing import OrdinalEncoder

from ..config import from_dict
from ..data.cache import load_split
from ..data.dataset import Dataset
from ..data.validation import Array
from ..errors import ProjectError
from ..section import default_mode
from ..training.loop import load_best
from ..training.retention import CheckpointConfig
from ..training.run import Run
from .evaluate import bootstrap, predict
from .metrics import metrics


def predict_baselines(
    train_set: Dataset, validation_set: Dataset, test_set: Dataset, seed: int
) -> dict[str, Array]:
    """Predictions of gradient boosting, and of a constant, for the test split.

    Boosting sees the same inputs as the network, without preprocessing. Like the network, it learns
    from the training split and is stopped by the validation split.
    """
    # A cell is a number or a category. Columns without any value are left out. The rarest
    # categories are one, unknown categories are missing values.
    splits = (train_set, validation_set, test_set)
    numbers, categories = zip(*(np.moveaxis(split.inputs, 2, 0) for split in splits), strict=True)
    is_number, is_categorical = (~np.isnan(part[0]).all(axis=0) for part in (numbers, categories))
    kept = is_number | is_categorical
    cells = [
        np.where(is_categorical, category, number)[:, kept]
        for number, category in zip(numbers, categories, strict=True)
    ]
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        max_categories=254,  # its histograms have no more bins
    )
    columns = make_column_transformer((encoder, is_categorical[kept]), remainder="passthrough")
    columns.fit(cells[0])
    x_train, x_validation, x_test = map(columns.transform, cells)

    classes = train_set.schema.classes
    boosting: Any = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    first = range(is_categorical.sum())  # where the encoder puts the categorical columns
    model = boosting(categorical_features=first, early_stopping=True, random_state=seed)
    model.fit(x_train, train_set.targets, X_val=x_validation, y_val=validation_set.targets)
    if not classes:
        mean = train_set.targets.mean(dtype=np.float64)
        return {"boosting": model.predict(x_test), "constant": np.full(len(test_set), mean)}
    probabilities = np.zeros((len(test_set), len(classes)))
    probabilities[:, model.classes_] = model.predict_proba(x_test)
    frequencies = np.bincount(train_set.targets, minlength=len(classes)) / len(train_set)
    return {"boosting": probabilities, "constant": np.tile(frequencies, (len(test_set), 1))}


def compare(predictions: Mapping[str, Array], targets: Array, config: CheckpointConfig) -> str:
    """A table of all metrics, and a sentence about the one that selects the best checkpoint.

    Args:
        predictions: of "network", "boosting" and others, (N, ...) each.
        targets: (N,).
        config: its metric is compared; if it is the loss, which baselines lack, the first one.
    """
    results = {name: metrics(values, targets) for name, values in predictions.items()}
    lines = ["".join(f"{name:>12}" for name in ["", *results])]
    for metric in results["network"]:
        cells = [f"{result[metric]:>12.4g}" for result in results.values()]
        lines.append("".join([f"{metric:>12}", *cells]))

    # Paired: on the same sample of examples, so that those which are hard for both cancel out.
    first = config.metric.removeprefix("validation/")
    mode = config.mode
    if first not in results["network"]:
        first = next(iter(results["network"]))
        mode = default_mode(first)

    def difference(rows: Array | slice) -> dict[str, float]:
        network, boosting = (
            metrics(predictions[name][rows], targets[rows]) for name in ("network", "boosting")
        )
        return {first: network[first] - boosting[first]}

    value = difference(slice(None))[first]
    low, high = bootstrap(difference, len(targets))[first]
    if low <= 0 <= high:
        verdict = "the interval includes 0, so this test split doesn't tell which one is better"
    else:
        better = (value > 0) == (mode == "max")
        verdict = f"the network is {'better' if better else 'worse'} than boosting"
    lines.append(
        f"network - boosting: {first} {value:+.4g} (95 % bootstrap interval {low:+.4g} to "
        f"{high:+.4g}, {len(targets)} examples): {verdict}."
    )
    return "\n".join(lines)


def main() -> None:
    parser = ArgumentParser(description="Compare a run with gradient boosting and a constant.")
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    run = Run.open(parser.parse_args().run)
    config = from_dict(run.read_config())
    train_set, validation_set, test_set = (
        load_split(config, split) for split in ("train", "validation", "test")
    )
    run.require_same(config, test_set.digest)
    model, _ = load_best(config, run)
    predictions = {"network": predict(model, test_set, config.training.batch_size).values}
    predictions |= predict_baselines(train_set, validation_set, test_set, config.seed)
    print(compare(predictions, test_set.targets, config.checkpoint))


if __name__ == "__main__":
    try:
        main()
    except ProjectError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
