"""The results of a tuning study: a table, a config file and a report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
import optuna
import optuna.visualization.matplotlib as plots
import tomli_w
from matplotlib.text import Text
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from ..errors import printable
from ..reports.page import image, paragraph, table
from ..runs.plot import drawable
from ..runs.run import flatten, write_file
from .database import run_name
from .space import Space
from .study import Study, merge, nest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Attributes of a trial in the database.
FAILURE = "failure"  # why it failed for good; without it, a failed trial is queued again
SETTINGS = "settings"  # that were tried, by their full names

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
MIN_TRIALS = 4  # with different values, to estimate importance

mpl.use("Agg")  # Optuna plots with pyplot, which would need a display


def best_trials(study: Study, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Complete trials, the best first."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return sorted(complete, key=_value, reverse=not study.is_lower_better)


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None, "it is complete"
    return trial.value


def describe(study: Study, trials: Sequence[FrozenTrial], space: Space) -> str:
    """The result in a sentence."""
    counts = [
        f"{sum(trial.state == state for trial in trials)} {word}" for state, word in STATES.items()
    ]
    text = f"{len(trials)} trials ({', '.join(counts)})"
    best = best_trials(study, trials)
    if not best:
        hint = "fix the cause, see logs/, and start another study: --study NAME"
        return f"{text}; none was trained to completion: {hint}"
    text += f"; best {study.metric} {_value(best[0]):.4g} in {run_name(best[0])}"
    present = flatten(study.config)
    values = {name: present[name] for name in space}
    baseline = [_value(trial) for trial in best if trial.user_attrs[SETTINGS] == values]
    return f"{text}, {baseline[0]:.4g} with the current settings" if baseline else text


def write_results(
    study: Study, all_trials: optuna.Study, trials: Sequence[FrozenTrial], space: Space
) -> int:
    """Write best.toml, table.md and report.html. Returns the exit code."""
    best = best_trials(study, trials)
    if best:
        settings = merge(study.settings, nest(best[0].user_attrs[SETTINGS]))
        comment = f"# {run_name(best[0])} of {study.folder.name}: {study.metric} "
        comment += f"{_value(best[0]):.5g}, the best of {len(trials)} on the validation split."
        comment = printable(comment).replace("\n", "\\n")  # of a name with two lines
        text = f"{comment}\n\n{tomli_w.dumps(settings)}"
        write_file(study.folder / "best.toml", text.encode())

    parts: list[str] = []
    if best:
        history = plots.plot_optimization_history(all_trials, target_name=drawable(study.metric))
        parts.append("<h2>Optimization history</h2>")
        parts.append(_image(history, 4.0, "Value of each trial, and the best value so far"))
        caution = "The best of many trials on one validation split is optimistically biased."
        parts.append(paragraph(caution))
    if len({_value(trial) for trial in best}) >= MIN_TRIALS and len(space) > 1:
        # The better half of the trials against all: of Optuna's default, the best tenth, ten
        # trials would have one. Watanabe et al. 2023, https://arxiv.org/abs/2304.10255.
        evaluator = PedAnovaImportanceEvaluator(target_quantile=0.5)
        importance = plots.plot_param_importances(all_trials, evaluator=evaluator)
        labels = [drawable(label.get_text()) for label in importance.get_yticklabels()]
        importance.set_yticks(importance.get_yticks(), labels, parse_math=False)
        parts.append("<h2>Hyperparameter importance</h2>")
        parts.append(_image(importance, 1.6 + 0.4 * len(space), "Importance of each setting"))
        caution = f"PED-ANOVA, estimated from {len(best)} complete trials. With few trials it "
        caution += "gives some importance to settings without any effect; `ml-architect ablate` "
        parts.append(paragraph(f"{caution}tests whether a difference is real."))
    present = flatten(study.config)
    searched = [(name, str(present[name]), str(space[name])) for name in space]
    parts += ["<h2>Search space</h2>", table(searched, ("setting", "current value", "searched"))]

    header = ("trial", "state", study.metric, *space)
    rows: list[list[str]] = []
    for trial in [*best, *(trial for trial in trials if trial not in best)]:
        value = "" if trial.value is None else f"{trial.value:.5g}"
        settings = trial.user_attrs.get(SETTINGS, {})
        params = [_short(settings.get(name, "")) for name in space]
        reason = trial.user_attrs.get(FAILURE, "")
        state = STATES[trial.state] + (f": {reason}" if reason else "")
        rows.append([run_name(trial), state, value, *params])
    summary = describe(study, trials, space)
    command = [*study.project.command, "train", "--config", str(study.folder / "best.toml")]
    next_step = shlex.join([*command, "--run-name", f"{study.folder.name}-best"])
    return study.finish("" if best else summary, summary, parts, header, rows, next_step)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _image(axes: Axes, height: float, alternative: str) -> str:
    """A plot of Optuna's, legible on a phone."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_size_inches(5.2, height)
    for label in figure.findobj(Text):
        label.set_parse_math(False)  # a name may contain a dollar sign
    figure.set_layout_engine("constrained")
    return image(figure, alternative)
