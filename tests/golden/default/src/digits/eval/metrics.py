# Yours: an update never touches this file.
"""Metrics of the predictions on held-out examples. Add your own here.

Each can select the best checkpoint: `checkpoint.metric = "validation/macro_f1"`.
"""

import numpy as np
import sklearn.metrics as sk

from ..data.validation import Array


def metrics(predictions: Array, targets: Array) -> dict[str, float]:
    """
    Args:
        predictions: what `Network.postprocess` returns, class probabilities (N, K) or numbers (N,).
        targets: class indices or numbers, (N,).
    """
    if predictions.ndim == 1:
        # R² is undefined for a single example; then as good as predicting the mean.
        r2 = sk.r2_score(targets, predictions) if len(targets) > 1 else 0.0
        return {
            "rmse": float(sk.root_mean_squared_error(targets, predictions)),
            "mae": float(sk.mean_absolute_error(targets, predictions)),
            "r2": float(r2),
        }

    predicted = predictions.argmax(axis=1)
    classes = np.arange(predictions.shape[1])
    present = np.unique(targets)  # precision and recall of a class need examples of it
    one_hot = targets[:, None] == present
    values = {
        "accuracy": sk.accuracy_score(targets, predicted),
        "balanced_accuracy": sk.recall_score(targets, predicted, labels=present, average="macro"),
        "macro_f1": sk.f1_score(targets, predicted, labels=present, average="macro"),
        "pr_auc": sk.average_precision_score(one_hot, predictions[:, present]),
        "log_loss": sk.log_loss(targets, predictions, labels=classes),
    }
    return {name: float(value) for name, value in values.items()}
