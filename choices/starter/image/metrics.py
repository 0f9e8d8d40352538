# Yours: an update never touches this file.
"""Metrics of the predictions on held-out examples. Add your own here.

Each can select the best checkpoint: `checkpoint.metric = "validation/macro_f1"`.
"""

import numpy as np
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, log_loss

from ..data.validation import Array


def metrics(predictions: Array, targets: Array) -> dict[str, float]:
    """
    Args:
        predictions: what `Network.postprocess` returns, class probabilities (N, K).
        targets: class indices, (N,).
    """
    predicted = predictions.argmax(axis=1)
    present = np.unique(targets)  # precision and recall of a class need examples of it
    one_hot = targets[:, None] == present
    return {
        "accuracy": float(accuracy_score(targets, predicted)),
        "macro_f1": float(f1_score(targets, predicted, labels=present, average="macro")),
        "pr_auc": float(average_precision_score(one_hot, predictions[:, present])),
        "log_loss": float(log_loss(targets, predictions, labels=np.arange(predictions.shape[1]))),
    }
