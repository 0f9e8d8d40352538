# The template's: updates improve this file and keep your edits.
"""predictions.csv: what the model predicts for each example of the test split, and its loss."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from ..data.dataset import Dataset
from ..data.examples import format_cell, write_csv
from .evaluate import Predictions


def write_predictions(path: Path, predictions: Predictions, dataset: Dataset) -> None:
    """Write the predictions, each with the metadata of its example."""
    columns = predictions.columns(dataset)
    names, *metadata = dataset.metadata()
    rows = (
        [*map(format_cell, values), *metadata[row]]
        for row, *values in zip(predictions.rows, *columns.values(), strict=True)
    )
    write_csv(path, chain([[*columns, *names]], rows))
