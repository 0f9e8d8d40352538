# The template's: updates improve this file and keep your edits.
# pyright: standard
import csv
import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from digits.config import Config
from digits.data import source
from digits.data.dataset import Dataset
from digits.data.validation import Example, Unreadable
from digits.eval import evaluate
from digits.eval.evaluate import Predictions
from digits.eval.metrics import metrics
from digits.models.network import Network, per_example_loss
from digits.training.loop import build_model

PERFECT = {"accuracy": 1, "macro_f1": 1, "pr_auc": 1, "roc_auc": 1, "r2": 1}  # the others: 0
PERFECT |= {"log_loss": 0, "brier": 0, "rmse": 0, "mae": 0}


@pytest.fixture(scope="module")
def model(config: Config, train_set: Dataset) -> Network:
    return build_model(config, train_set, torch.device("cpu")).eval()


@pytest.fixture(scope="module")
def predictions(model: Network, test_set: Dataset) -> Predictions:
    return evaluate.predict(model, test_set, batch_size=8)


def read_csv(name: str) -> list[dict[str, str]]:
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_loss_is_the_mean_over_examples_for_any_batch_size(
    model: Network, predictions: Predictions, test_set: Dataset
) -> None:
    with torch.no_grad():
        losses = [per_example_loss(model(x), y) for x, y in test_set.batches(5)]
    values = predictions.metrics()
    assert values["loss"] == pytest.approx(torch.cat(losses).mean().item(), rel=1e-4)
    assert evaluate.predict(model, test_set, batch_size=3).metrics() == pytest.approx(values, 1e-4)


def test_perfect_predictions_have_perfect_metrics(test_set: Dataset) -> None:
    schema, targets = test_set.schema, test_set.targets
    if schema.vocabulary_size or schema.target_shape:
        pytest.skip("a target is neither one class nor one number")
    predicted = np.eye(len(schema.classes))[targets] if schema.classes else targets
    arguments: list[Any] = [predicted, targets]
    values = metrics(*arguments)
    for name in values.keys() & PERFECT.keys():
        assert values[name] == pytest.approx(PERFECT[name], abs=1e-6), name


def test_an_interval_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=400)
    low, high = evaluate.bootstrap(lambda rows: {"mean": float(values[rows].mean())}, 400)["mean"]
    assert low < values.mean() < high
    assert (high - low) == pytest.approx(2 * 1.96 * values.std() / math.sqrt(400), rel=0.2)


def test_predictions_csv_has_a_row_per_example_with_its_metadata(
    predictions: Predictions, test_set: Dataset
) -> None:
    plot_path = evaluate.write_predictions(Path(), predictions, test_set)
    assert Path(plot_path).stat().st_size > 100
    rows = read_csv("predictions.csv")
    names, examples = test_set.metadata()
    assert {"id", "loss", *names} <= rows[0].keys()
    assert {row["id"] for row in rows} <= {id_ for id_, *_ in examples}
    if not test_set.schema.vocabulary_size:  # text has a row per document
        assert [row["id"] for row in rows] == test_set.ids
        mean_loss = np.mean([float(row["loss"]) for row in rows])
        assert mean_loss == pytest.approx(predictions.metrics()["loss"])


def test_new_examples_are_predicted_and_those_that_cannot_be_are_reported(
    model: Network, config: Config, test_set: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    readable = (example for example in source.read(config.data) if isinstance(example, Example))
    examples = list(islice(readable, 3))
    invalid = replace(examples[0], id="invalid", inputs=examples[0].inputs.astype(complex))
    new = [Unreadable("unreadable", "no such file"), *examples, invalid]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "read_new", lambda *_: iter(new))
        counts = evaluate.predict_new(model, test_set.schema, Path(), config, Path("new.csv"))
    assert counts == (3, 2)
    assert [row["id"] for row in read_csv("new.csv")] == [example.id for example in examples]
    errors = capsys.readouterr().err
    assert "unreadable: no such file" in errors
    assert "invalid: inputs complex128" in errors
