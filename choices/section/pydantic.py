# The template's: updates improve this file and keep your edits.
"""Base of all sections of the config."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

LOWER = "loss error rmse mae mse mape nll perplexity bits brier ece distance"
HIGHER = "accuracy acc auc f1 precision recall r2 iou dice kappa mcc bleu rouge ndcg correlation"


class Section(BaseModel):
    """Immutable. Unknown settings, other types, NaN and infinity are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def default_mode(metric: str) -> Literal["min", "max"]:
    """Whether a metric is minimized or maximized, judged by its name.

    Raises:
        ValueError: the name doesn't tell.
    """
    words = set(metric.lower().replace("/", "_").split("_"))
    if words & set(LOWER.split()):
        return "min"
    if words & set(HIGHER.split()):
        return "max"
    raise ValueError(f"mode: expected min or max, since {metric} doesn't tell which is better")
