# Yours: an update never touches this file.
"""Metrics of the predictions on held-out examples. Add your own here.

Each can select the best checkpoint: `checkpoint.metric = "validation/macro_f1"`.
"""

from typing import Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    recall_score,
    root_mean_squared_error,
)

from ..data.validation import Array


def metrics(predictions: Array, targets: Array) -> dict[str, float]:
    """
    Args:
        predictions: what `Network.postprocess` returns, class probabilities (N, K) or numbers (N,).
        targets: class indices or numbers, (N,).
    """
    if predictions.ndim == 1:
        # R² is undefined for a single example; then as good as predicting the mean.
        r2 = r2_score(targets, predictions) if len(targets) > 1 else 0.0
        return {
            "rmse": float(root_mean_squared_error(targets, predictions)),
            "mae": float(mean_absolute_error(targets, predictions)),
            "r2": float(r2),
        }

    predicted = predictions.argmax(axis=1)
    present = np.unique(targets)  # precision and recall of a class need examples of it
    of_present: dict[str, Any] = {"labels": present, "average": "macro", "zero_division": 0}
    one_hot = targets[:, None] == present
    return {
        "accuracy": float(accuracy_score(targets, predicted)),
        "balanced_accuracy": float(recall_score(targets, predicted, **of_present)),
        "macro_f1": float(f1_score(targets, predicted, **of_present)),
        "pr_auc": float(average_precision_score(one_hot, predictions[:, present])),
        "log_loss": float(log_loss(targets, predictions, labels=np.arange(predictions.shape[1]))),
    }
