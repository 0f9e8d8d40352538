"""Compare changes, one at a time, with a baseline over several seeds.

Runs of one seed have the same order of batches and the same random draws, except those that the
change affects. So each change is compared with the baseline seed by seed, since paired differences
vary less than the runs. After Bouthillier et al. 2021 (https://arxiv.org/abs/2103.03098).

In a cross-validation, every run is repeated on each fold, and compared fold by fold too. The folds
are the sample then, since the seeds of one fold share its examples; the variance is corrected for
training examples that folds have in common, after Nadeau and Bengio 2003
(https://doi.org/10.1023/A:1024068626366).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure
from pydantic import AfterValidator, Field
from rich.console import Console
from scipy import stats

from ..errors import CommandError, printable
from ..reports.page import bullets, image, paragraph, table
from ..reports.statistics import holm
from ..runs.plot import drawable
from ..runs.run import Estimate, flatten
from .project import Settings
from .study import Study, StudyTable, distinct, folder_names, merge

ALPHA = 0.05
BASELINE = "baseline"
HEADER = ("change", "mean (95% interval)", "difference", "95% interval", "p", "p (Holm)")

Repetition = tuple[str, int]
"""Fold and seed; without folds, the first is empty."""
Values = dict[str, dict[Repetition, float]]
"""The metric by change, the baseline first, then by fold and seed."""


class AblateTable(StudyTable):
    """The table [ablate]."""

    seeds: Annotated[list[int], Field(min_length=1), AfterValidator(distinct)]
    changes: dict[str, dict[str, Any]] = Field(default={})
    folds: dict[str, dict[str, Any]] = Field(default={}, min_length=2)

    @property
    def unit(self) -> str:
        """What the means and tests are over."""
        return "folds" if self.folds else "seeds"

    @property
    def overlap(self) -> float:
        """Validation examples per training example in a cross-validation, or zero."""
        return 1 / (len(self.folds) - 1) if self.folds else 0.0


@dataclass(frozen=True)
class Effect:
    """Difference in the metric, change minus baseline, over the seeds or the folds."""

    mean: float
    low: float  # 95% confidence interval of the mean
    high: float
    p: float = 1.0
    adjusted_p: float = 1.0  # for the number of changes
    count: int = 0  # of the seeds or folds that are compared

    @property
    def is_significant(self) -> bool:
        """Whether noise is an unlikely explanation."""
        return self.adjusted_p < ALPHA


def ablate(study: Study, plan: AblateTable, console: Console, *, dry_run: bool) -> int:
    """Run the study. Returns the exit code: 0 if every run has a result."""
    runs = plan_runs(study, plan)
    if dry_run:
        print(f"{len(runs)} runs:", *runs, sep="\n")
        return 0
    settings = {name: settings for name, (_, _, settings) in runs.items()}
    if study.queue:
        return study.enqueue(settings)
    folds = {name: fold for name, (_, (fold, _), _) in runs.items()}
    results, failures = study.train_all(settings, console, study.read_value, folds)

    values: Values = {}
    for name, (change, repetition, _) in runs.items():
        measured = values.setdefault(change, {})
        if name in results:
            measured[repetition] = results[name]
    effects = compare(values, plan.overlap)
    conclusions: list[str] = []
    if baseline := estimate(values[BASELINE], plan.overlap):
        measure = f"mean {study.metric} over the {plan.unit}, with its 95% interval"
        conclusions.append(f"{BASELINE}: {measure}: {baseline}")
    conclusions += [f"{name}: {conclude(study, plan, effect)}" for name, effect in effects.items()]

    parts = ["<h2>Effects</h2>"] if plan.changes else []
    if effects:
        parts.append(image(draw(study, effects), "Difference of each change from the baseline"))
    parts += [paragraph(describe_method(plan)), "<h2>Conclusions</h2>", bullets(conclusions)]
    if failures:
        parts += ["<h2>Failed runs</h2>", table(list(failures.items()))]
    problems = "; ".join(f"{name} failed: {reason}" for name, reason in failures.items())
    summary = f"folds: {len(plan.folds)}, " if plan.folds else ""
    summary += f"seeds: {len(plan.seeds)}"
    if plan.changes:
        significant = sum(effect.is_significant for effect in effects.values())
        summary = f"changes: {len(plan.changes)}, {summary}, significant effects: {significant}"
    print(printable("\n".join(conclusions)))
    header = (*HEADER, "folds", "seeds") if plan.folds else (*HEADER, "seeds")
    rows = table_rows(plan, values, effects)
    return study.finish(problems, summary, parts, header, rows)


def plan_runs(study: Study, plan: AblateTable) -> dict[str, tuple[str, Repetition, Settings]]:
    """Change, repetition and settings of each run, checked by the project."""
    if not plan.folds and len(plan.seeds) < 2:
        raise CommandError(
            f"ablate.seeds = {plan.seeds}: expected at least 2, or folds: [ablate.folds]"
        )
    labels = {
        (change, fold): f"{change} {fold}" if fold else change
        for change in (BASELINE, *plan.changes)
        for fold in plan.folds or ("",)
    }
    path = "ablate.changes with ablate.folds" if plan.folds else "ablate.changes"
    folders = folder_names(path, labels.values())
    check_settings(study, plan)

    # Seed by seed and fold by fold, so that a study that is stopped early has compared something.
    runs: dict[str, tuple[str, Repetition, Settings]] = {}
    for seed in plan.seeds:
        for fold, split in (plan.folds or {"": {}}).items():
            for change, settings in {BASELINE: {}, **plan.changes}.items():
                name = f"{folders[labels[change, fold]]}-seed-{seed}"
                merged = merge(merge(merge(study.settings, split), settings), {"seed": seed})
                runs[name] = (change, (fold, seed), merged)
    return runs


def check_settings(study: Study, plan: AblateTable) -> None:
    """Let the project check the changes, the folds and a seed, before anything is trained."""
    changes = {f"ablate.changes.{name}": change for name, change in plan.changes.items()}
    folds = {f"ablate.folds.{name}": fold for name, fold in plan.folds.items()}
    for path, change in changes.items():
        for fold_path, fold in folds.items():
            if merge(change, fold) != merge(fold, change):
                raise CommandError(f"{path}: has a setting that {fold_path} has too")

    varied = {**changes, **folds}
    variants = [(path, merge(study.settings, settings)) for path, settings in varied.items()]
    seed = ("ablate.seeds", merge(study.settings, {"seed": plan.seeds[-1]}))
    configs = study.project.resolve_all([*variants, seed])
    was = flatten(study.config)
    path_of: dict[str, str] = {}  # by the resolved settings of a fold
    for path, config in zip(varied, configs[:-1], strict=True):
        now = flatten(config)
        for setting in ("seed", "checkpoint.metric", "checkpoint.mode"):
            if was.get(setting) != now.get(setting):
                raise CommandError(f"{path}: {setting} has to be the same in all runs")
        if path in changes and was == now:
            raise CommandError(f"{path}: changes nothing; the settings have these values already")
        if path in folds and (other := path_of.setdefault(repr(now), path)) != path:
            raise CommandError(f"{path}: has the same settings as {other}")


def unit_means(measured: Mapping[Repetition, float]) -> list[float]:
    """The value of each seed; where there are folds, the mean of each fold over its seeds."""
    by_unit: dict[str | int, list[float]] = {}
    for (fold, seed), value in measured.items():
        by_unit.setdefault(fold or seed, []).append(value)
    return [float(np.mean(values)) for values in by_unit.values()]


def standard_error(values: Sequence[float], overlap: float) -> float:
    """Of a mean. With an overlap, the values vary less than those of independent samples would."""
    return float(np.std(values, ddof=1)) * math.sqrt(1 / len(values) + overlap)


def margin(values: Sequence[float], overlap: float) -> float:
    """Half the width of the t interval of a mean."""
    return float(stats.t.ppf(0.975, len(values) - 1)) * standard_error(values, overlap)


def estimate(measured: Mapping[Repetition, float], overlap: float) -> Estimate | None:
    """The mean with its interval; None if no run has a value."""
    if not measured:
        return None
    values = unit_means(measured)
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, None)
    half = margin(values, overlap)
    return Estimate(mean, (mean - half, mean + half))


def compare(values: Values, overlap: float = 0.0) -> dict[str, Effect]:
    """The effect of each change that has at least two seeds, or folds, in common with the baseline.

    Args:
        values: of the runs.
        overlap: validation examples per training example in a cross-validation, else zero.
    """
    baseline = values[BASELINE]
    effects: dict[str, Effect] = {}
    for name, measured in values.items():
        shared = sorted(measured.keys() & baseline.keys())
        before = unit_means({repetition: baseline[repetition] for repetition in shared})
        after = unit_means({repetition: measured[repetition] for repetition in shared})
        if name != BASELINE and len(before) >= 2:
            effects[name] = paired_effect(before, after, overlap)
    adjusted = holm([effect.p for effect in effects.values()])
    return {
        name: replace(effect, adjusted_p=p)
        for (name, effect), p in zip(effects.items(), adjusted, strict=True)
    }


def paired_effect(before: Sequence[float], after: Sequence[float], overlap: float = 0.0) -> Effect:
    """Paired t-test and the t interval of the mean difference."""
    differences = np.subtract(after, before).tolist()
    mean, count = float(np.mean(differences)), len(differences)
    if np.std(differences, ddof=1) <= 1e-12 * np.abs(after).max():
        return Effect(mean, mean, mean, count=count)  # equal but for rounding: nothing to test
    half = margin(differences, overlap)
    p = 2 * float(stats.t.sf(abs(mean) / standard_error(differences, overlap), count - 1))
    return Effect(mean, mean - half, mean + half, p, count=count)


def describe_method(plan: AblateTable) -> str:
    """How the intervals and p-values are computed."""
    text = f"Intervals are 95% confidence intervals of a mean over the {plan.unit}. "
    if plan.folds:
        text += (
            "The values of a fold are averaged over its seeds first. The folds have training "
            "examples in common, for which the variance is corrected (Nadeau and Bengio 2003), "
            f"as for {len(plan.folds)} folds that together validate each example once. "
        )
    if plan.changes:
        text += (
            "Red is significantly worse, blue significantly better, grey not significant: paired "
            f"t-tests over the {plan.unit}, adjusted for the number of changes by Holm's method. "
            "The intervals are not adjusted."
        )
    return text.rstrip()


def conclude(study: Study, plan: AblateTable, effect: Effect) -> str:
    """An effect in words."""
    if effect.low == effect.high:
        difference = f"a difference of {effect.mean:.3g}" if effect.mean else "identical results"
        return f"{difference} with each of {effect.count} {plan.unit}, so there is nothing to test"
    if not effect.is_significant:
        return f"no significant difference with {effect.count} {plan.unit}"
    better = (effect.mean < 0) == study.is_lower_better
    low, high = sorted((abs(effect.low), abs(effect.high)))
    return (
        f"{study.metric} is {'better' if better else 'worse'} by {abs(effect.mean):.3g} "
        f"(95% confidence interval {low:.3g} to {high:.3g})"
    )


def table_rows(plan: AblateTable, values: Values, effects: Mapping[str, Effect]) -> list[list[str]]:
    """A row for the baseline and for each change."""
    lines: list[list[str]] = []
    for name, measured in values.items():
        mean = estimate(measured, plan.overlap)
        cells = ["", "", "", ""]
        if effect := effects.get(name):
            cells = [f"{effect.mean:+.3g}", f"{effect.low:+.3g} to {effect.high:+.3g}"]
            is_tested = effect.low < effect.high
            cells += [f"{p:.2g}" if is_tested else "" for p in (effect.p, effect.adjusted_p)]
        folds, seeds = {fold for fold, _ in measured}, {seed for _, seed in measured}
        counts = [len(folds), len(seeds)] if plan.folds else [len(seeds)]
        lines.append([name, "" if mean is None else str(mean), *cells, *map(str, counts)])
    return lines


def draw(study: Study, effects: Mapping[str, Effect]) -> Figure:
    """The differences with their confidence intervals."""
    figure = Figure(figsize=(5.2, 1.4 + 0.45 * len(effects)), layout="constrained")
    axes = figure.subplots()
    for row, effect in enumerate(effects.values()):
        better = (effect.mean < 0) == study.is_lower_better
        color = ("C0" if better else "C3") if effect.is_significant else "0.45"
        axes.plot((effect.low, effect.high), (row, row), color=color, linewidth=2)
        axes.plot(effect.mean, row, "o", color=color)
    axes.axvline(0, color="0.2", linewidth=1)
    labels = [drawable(name if len(name) < 28 else f"{name[:27]}…") for name in effects]
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    arrow = "← better" if study.is_lower_better else "better →"
    label = f"{drawable(study.metric)}: change minus baseline   {arrow}"
    axes.set_xlabel(label, parse_math=False)
    axes.grid(axis="x", alpha=0.3)
    return figure
