# The template's: updates improve this file and keep your edits.
"""What the sections of the config share: checks of their values."""

from typing import Literal

LOWER = "loss error rmse mae mse mape nll perplexity bits brier ece distance"
HIGHER = "accuracy acc auc f1 precision recall r2 iou dice kappa mcc bleu rouge ndcg correlation"


def require(section: object, *checks: tuple[str, bool, str]) -> None:
    """Raise a ValueError that lists every check that failed.

    Args:
        section: the section whose settings are checked.
        checks: name of the setting, whether its value is valid, and what is expected.
    """
    problems: list[str] = []
    for name, valid, expected in checks:
        if not valid:
            given = f" (got {getattr(section, name)!r})" if hasattr(section, name) else ""
            problems.append(f"{name}: expected {expected}{given}")
    if problems:
        raise ValueError("\n".join(problems))


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
