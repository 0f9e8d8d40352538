# The template's: updates improve this file and keep your edits.
"""Step 6: choose settings by trying them, the next ones where earlier ones did well.

The tree-structured Parzen estimator of Bergstra et al. 2011, as Optuna has it
(https://arxiv.org/abs/1907.10902); what falls behind the median of earlier trials is broken off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import tomli_w
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from ..config import Config, flat, from_dict, merge, to_dict
from ..data.cache import digest
from ..errors import Interrupted
from ..page import image, table, write_page
from ..training.loop import records
from ..training.run import replace_text
from .plan import TunePlan, nested
from .runs import View, train_each
from .trials import TrialJob, Trials, open_study, reachable, require_same, study_lock

FEW = 4  # complete trials; from fewer no importance is guessed


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a study found."""

    study: optuna.Study
    trials: Sequence[FrozenTrial]
    metric: str
    best_is: str
    present: Mapping[str, Any]  # the settings before, by name
    space: Mapping[str, str]

    @property
    def complete(self) -> list[FrozenTrial]:
        """The trials that were trained to the end, the best first."""
        found = [each for each in self.trials if each.state == TrialState.COMPLETE]
        return sorted(found, key=_value, reverse=self.best_is == "highest")

    @property
    def baseline(self) -> float | None:
        """The metric with the present settings; None if they weren't tried."""
        for each in self.complete:
            if all(each.params.get(name) == self.present[name] for name in self.space):
                return each.value
        return None

    def __str__(self) -> str:
        counts = [
            f"{sum(each.state == state for each in self.trials)} {word}"
            for state, word in (
                (TrialState.COMPLETE, "complete"),
                (TrialState.PRUNED, "pruned"),
                (TrialState.FAIL, "failed"),
            )
        ]
        said = f"{len(self.trials)} trials ({', '.join(counts)})"
        if not self.complete:
            return f"{said}; none of them came to its end."
        best = self.complete[0]
        direction = "lower" if self.best_is == "lowest" else "higher"
        said += f"; the best {self.metric} ({direction} is better) is {best.value:.4g}"
        before = self.baseline
        if before is None:
            than = "the present settings were not among the trials"
        elif best.value == before:
            than = "as good as the present settings, nothing better was found"
        else:
            share = f"{abs(_value(best) / before - 1):.1%} {direction} than " if before else ""
            than = f"{share}the {before:.4g} of the present settings"
        return f"{said}, in trial {best.number}; {than}."


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None, "it is complete"
    return trial.value


def tune(
    plan: TunePlan, base: Config, folder: Path, url: str, processes: int, console: Console
) -> Tuned:
    """Carry out the trials that are left, beside whoever else works on the study.

    Raises:
        Interrupted: it was stopped, or others are still at work; nothing is lost.
        RunError: the database can't be used, or the study was begun with other settings.
    """
    data, settings = digest(records(base, "train").folder), flat(to_dict(base))
    with reachable(url):
        study, storage = open_study(folder, url, base)
        outside = [name for name in plan.space if not plan.space[name].hold(settings[name])]
        with study_lock(folder):
            require_same(study, plan, base, data)
            if not (outside or study.get_trials(deepcopy=False)):
                study.enqueue_trial({name: settings[name] for name in plan.space})
        if outside:
            named = ", ".join(f"{name} = {settings[name]}" for name in outside)
            console.print(f"The present settings aren't tried, since {named} isn't in the space.")
        finished = [each for each in study.get_trials(deepcopy=False) if each.state.is_finished()]
        view = View(console, plan.trials, len(finished))
        if finished:
            view.say(f"{len(finished)} of {plan.trials} trials are done already.", ended=False)
        trials = Trials(study, storage, plan, base, folder, processes)

        def ended(job: TrialJob) -> None:
            view.say(job.tell(study))

        train_each(trials.jobs(view), processes, view, ended)
        if trials.elsewhere:
            raise Interrupted(
                f"{trials.elsewhere} trials are still with a process that has another disk. "
                "Run this again when they have ended"
            )
        found = [each for each in study.get_trials() if each.state.is_finished()]
    chosen, space = base.checkpoint, {name: str(each) for name, each in plan.space.items()}
    return Tuned(study, found, chosen.metric, chosen.best_is, settings, space)


def write_best(path: Path, found: Tuned, stated: Mapping[str, Any]) -> None:
    """Write what the best trial was trained with as a config file.

    Args:
        path: of the file.
        found: with a complete trial.
        stated: the settings that config file and command line stated.
    """
    best = found.complete[0]
    settings = merge(stated, nested(best.params))
    from_dict(settings)  # a config, or an error here instead of at the next command
    head = f"# Trial {best.number} of {path.parent}: {found.metric} {best.value:.5g}, the best of "
    head += f"{len(found.complete)} on the validation split.\n\n"
    replace_text(path, head + tomli_w.dumps(settings))


def importances(found: Tuned) -> dict[str, float] | str:
    """How much each setting decides, in shares of 1; or why that can't be said.

    PED-ANOVA, Watanabe et al. 2023 (https://arxiv.org/abs/2304.10255), of the better half against
    all: Optuna's tenth would be one trial of ten, and say what that one happened to have.
    """
    if len(found.space) < 2:
        return "With one setting in the space there is nothing to weigh."
    if len({each.value for each in found.complete}) < FEW:
        return f"Fewer than {FEW} complete trials with different results tell nothing yet."
    evaluator = PedAnovaImportanceEvaluator(target_quantile=0.5)
    return get_param_importances(found.study, evaluator=evaluator)


def draw_history(found: Tuned) -> Figure:
    """Each trial by its number, and the best so far."""
    figure = Figure(figsize=(5.2, 3.8), layout="constrained")
    axes = figure.subplots()
    complete = sorted(found.complete, key=lambda each: each.number)
    values = [_value(each) for each in complete]
    numbers = [each.number for each in complete]
    if values:
        pick = min if found.best_is == "lowest" else max
        best = [pick(values[: at + 1]) for at in range(len(values))]
        until = [*numbers, found.trials[-1].number]
        axes.step(until, [*best, best[-1]], where="post", color="C1", label="best so far")
        axes.plot(numbers, values, "o", color="C0", label="complete")
    pruned = [each for each in found.trials if each.state == TrialState.PRUNED]
    if at := [(each.number, each.value) for each in pruned if each.value is not None]:
        axes.plot(*zip(*at, strict=True), "x", color="0.45", label="pruned, its last value")
    if found.baseline is not None:
        axes.axhline(found.baseline, color="0.45", linestyle=":", label="present settings")
    shown = values + [value for _, value in at]
    if shown and min(shown) > 0 and max(shown) / min(shown) > 10:
        axes.set_yscale("log")
    failed = [each.number for each in found.trials if each.state == TrialState.FAIL]
    for number in failed:
        label = "failed" if number == failed[0] else None
        axes.axvline(number, color="C3", alpha=0.3, linewidth=4, label=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel=found.metric)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_importances(shares: Mapping[str, float]) -> Figure:
    """A bar for each setting, the one that decides most on top."""
    figure = Figure(figsize=(5.2, 0.9 + 0.4 * len(shares)), layout="constrained")
    axes = figure.subplots()
    names = sorted(shares, key=lambda name: shares[name])
    bars = axes.barh(names, [shares[name] for name in names], color="C0", height=0.6)
    axes.bar_label(bars, fmt="{:.0%}", padding=3)
    axes.set(xlim=(0, max(0.01, *shares.values()) * 1.2), xlabel="share of what decides")
    return figure


def write_report(path: Path, found: Tuned) -> None:
    """Write the page."""
    parts = [image(draw_history(found), "The metric of each trial, and the best so far")]
    parts.append("<p>The best of many trials on one validation split looks better than it is.</p>")
    parts.append("<h2>What decides</h2>")
    shares = importances(found)
    if isinstance(shares, str):
        parts.append(f"<p>{shares}</p>")
    else:
        parts.append(image(draw_importances(shares), "The importance of each setting"))
        parts.append(
            f"<p>A rough guess, from {len(found.complete)} complete trials: so few give a share to "
            "settings without any effect, too. `ablate` tells whether a difference is real.</p>"
        )
    names = list(found.space)
    lines = [
        (f"trial {each.number}", f"{each.value:.5g}", *(_said(each.params[n]) for n in names))
        for each in found.complete[:10]
    ]
    parts += ["<h2>The best trials</h2>", table(lines, ("", found.metric, *names))]
    present = [(name, _said(found.present[name]), found.space[name]) for name in names]
    parts += ["<h2>The space</h2>", table(present, ("setting", "present", "tried"))]
    failed = [
        (f"trial {each.number}", str(each.user_attrs.get("failure", "")))
        for each in found.trials
        if each.state == TrialState.FAIL
    ]
    if failed:
        parts += ["<h2>Failed</h2>", table(failed)]
    write_page(path, "Tune", str(found), parts)


def _said(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
