# Yours: an update never touches this file.
"""Metrics of the predictions on held-out examples. Add your own here.

Each can select the best checkpoint: `checkpoint.metric = "validation/rmse"`.
"""

import numpy as np
import sklearn.metrics as sk

from ..data.validation import Array


def metrics(predictions: Array, targets: Array) -> dict[str, float]:
    """
    Args:
        predictions: what `Network.postprocess` returns, numbers (N,) or class probabilities (N, K).
        targets: numbers or class indices, (N,).
    """
    if predictions.ndim == 1:
        # R² is undefined for a single example; then as good as predicting the mean.
        r2 = sk.r2_score(targets, predictions) if len(targets) > 1 else 0.0
        return {
            "rmse": float(sk.root_mean_squared_error(targets, predictions)),
            "mae": float(sk.mean_absolute_error(targets, predictions)),
            "r2": float(r2),
        }

    predicted = predictions.argmax(axis=1)  # of two classes, the one above 0.5
    classes = np.arange(predictions.shape[1])
    present = np.unique(targets)  # precision and recall of a class need examples of it
    one_hot = targets[:, None] == present
    values = {
        "accuracy": sk.accuracy_score(targets, predicted),
        "balanced_accuracy": sk.recall_score(targets, predicted, labels=present, average="macro"),
        "macro_f1": sk.f1_score(targets, predicted, labels=present, average="macro"),
        "pr_auc": sk.average_precision_score(one_hot, predictions[:, present]),
        "log_loss": sk.log_loss(targets, predictions, labels=classes),
        "brier": sk.brier_score_loss(targets, predictions, labels=classes),
    }
    if len(classes) == 2:
        # Undefined without examples of both classes; then as good as chance.
        both = len(present) == 2
        values["roc_auc"] = sk.roc_auc_score(targets, predictions[:, 1]) if both else 0.5
    return {name: float(value) for name, value in values.items()}
