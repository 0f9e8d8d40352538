"""The file predictions.csv of a run: docs/run-format.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ..errors import CommandError
from .statistics import Array
from .tables import MISSING, Columns, parse, read_csv, read_numbers

RESERVED = ("id", "label", "predicted", "confidence", "correct", "loss", "weight")
LIMITS = {"confidence": (0, 1), "correct": (0, 1), "weight": (0, np.inf), "loss": (-np.inf, np.inf)}


@dataclass(frozen=True)
class Predictions:
    """One row per example, N in all."""

    table: pl.DataFrame  # as in the file, all texts
    numbers: Mapping[str, Array]  # (N,): loss, weight; confidence and correct if there are any
    class_names: Sequence[str]  # sorted; empty if there are no classes
    classes: Array  # (2, N), numbers of the class and of the predicted class
    values: Array  # (2, N), label and predicted number of a regression; else empty
    metadata: Columns  # the class too

    @property
    def error(self) -> tuple[str, Array]:
        """Name and values, (N,), of the error by which slices are compared."""
        if "correct" in self.numbers:
            return "error rate", 1 - self.numbers["correct"]
        if self.values.size:
            return "mean absolute error", np.abs(self.values[1] - self.values[0])
        return "mean loss", self.numbers["loss"]

    def metrics(self, weights: Array) -> dict[str, float]:
        """All metrics that apply to these predictions, with weights of the examples, (N,)."""
        metrics: dict[str, float] = {}
        if "correct" in self.numbers:
            metrics["accuracy"] = np.average(self.numbers["correct"], weights=weights)
        if self.class_names:
            # F1 is twice the hits over the examples of the class plus those predicted as it.
            label, predicted = self.classes
            both = np.bincount(self.classes.ravel(), np.tile(weights, 2))
            hits = np.bincount(label, weights * (label == predicted), len(both))
            metrics["macro F1"] = (2 * hits[both > 0] / both[both > 0]).mean()
        if self.values.size:
            label, predicted = self.values
            squared = np.average((label - predicted) ** 2, weights=weights)
            variance = np.average(
                (label - np.average(label, weights=weights)) ** 2, weights=weights
            )
            metrics["RMSE"] = np.sqrt(squared)
            metrics["MAE"] = np.average(np.abs(label - predicted), weights=weights)
            metrics["R²"] = 1 - squared / variance if variance > 0 else np.nan
        metrics["loss"] = np.average(self.numbers["loss"], weights=weights)
        return metrics


def read_predictions(path: Path) -> Predictions:
    """Read and check them.

    Raises:
        CommandError: there are none, or the file isn't as documented.
    """
    if not path.is_file():
        hint = f"first: COMMAND evaluate {path.parent}, or see docs/run-format.md"
        raise CommandError(f"{path}: no such file; {hint}")
    table = read_csv(path, required=("id", "loss"))
    if "weight" in table.columns:  # an example of weight 0 counts nothing
        table = table.filter(table["weight"].cast(pl.Float64, strict=False).ne_missing(0))
        if table.is_empty():
            raise CommandError(f"{path}: every weight is 0; expected positive weights")
    given = [name for name in LIMITS if name in table.columns]
    numbers = {name: read_numbers(table, name, path, *LIMITS[name]) for name in given}
    numbers.setdefault("weight", np.ones(len(table)))
    names, classes, values = [], np.empty(0), np.empty(0)
    metadata = {name: parse(table[name]) for name in table.columns if name not in RESERVED}

    has_labels = {"label", "predicted"} <= set(table.columns)
    if has_labels and ("confidence" in numbers or "correct" in numbers):
        metadata = {"label": table["label"], **metadata}
        both = pl.concat([table["label"], table["predicted"]]).fill_null(MISSING)
        names = both.unique().sort().to_list()
        classes = both.rank("dense").to_numpy().astype(int).reshape(2, -1) - 1
        numbers.setdefault("correct", (classes[0] == classes[1]).astype(float))
    elif has_labels:
        unlimited = LIMITS["loss"]
        columns = [read_numbers(table, name, path, *unlimited) for name in ("label", "predicted")]
        values = np.stack(columns)
    elif "confidence" in numbers and "correct" not in numbers:
        raise CommandError(f"{path}: confidence needs the columns label and predicted, or correct")
    return Predictions(table, numbers, names, classes, values, metadata)
