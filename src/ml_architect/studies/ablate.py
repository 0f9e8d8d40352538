"""Compare changes, one at a time, with a baseline over several seeds.

Runs of one seed have the same order of batches and the same random draws, except those that the
change affects. So each change is compared with the baseline seed by seed, since paired differences
vary less than the runs. After Bouthillier et al. 2021 (https://arxiv.org/abs/2103.03098).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure
from pydantic import AfterValidator, Field
from rich.console import Console
from scipy import stats

from ..errors import CommandError
from ..reports.page import bullets, image, paragraph, table
from ..reports.statistics import holm
from ..runs.run import flatten
from .project import Settings
from .study import Study, StudyTable, distinct, folder_names, merge

ALPHA = 0.05
BASELINE = "baseline"
HEADER = ("change", "mean", "difference", "95% interval", "p", "p (Holm)", "seeds")
METHOD = (
    "Red is significantly worse, blue significantly better, grey not significant: paired t-tests "
    "over the seeds, adjusted for the number of changes by Holm's method. Bars are 95% "
    "confidence intervals, not adjusted."
)

Values = dict[str, dict[int, float]]
"""The metric by change, the baseline first, then by seed."""


class AblateTable(StudyTable):
    """The table [ablate]."""

    seeds: Annotated[list[int], Field(min_length=2), AfterValidator(distinct)]
    changes: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]


@dataclass(frozen=True)
class Effect:
    """Difference in the metric, change minus baseline, over the seeds."""

    mean: float
    low: float  # 95% confidence interval of the mean
    high: float
    p: float = 1.0
    adjusted_p: float = 1.0  # for the number of changes
    seeds: int = 0

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
    results, failures = study.train_all(settings, console, study.read_value)

    values: Values = {}
    for name, (change, seed, _) in runs.items():
        by_seed = values.setdefault(change, {})
        if name in results:
            by_seed[seed] = results[name]
    effects = compare(values)
    conclusions = [f"{name}: {conclude(study, effect)}" for name, effect in effects.items()]

    parts = ["<h2>Effects</h2>"]
    if effects:
        parts.append(image(draw(study, effects), "Difference of each change from the baseline"))
    parts += [paragraph(METHOD), "<h2>Conclusions</h2>", bullets(conclusions)]
    if failures:
        parts += ["<h2>Failed runs</h2>", table(list(failures.items()))]
    problems = "; ".join(f"{name} failed: {reason}" for name, reason in failures.items())
    significant = sum(effect.is_significant for effect in effects.values())
    summary = f"changes: {len(plan.changes)}, seeds: {len(plan.seeds)}, significant effects: "
    print(*conclusions, sep="\n")
    rows = table_rows(values, effects)
    return study.finish(problems, f"{summary}{significant}", parts, HEADER, rows)


def plan_runs(study: Study, plan: AblateTable) -> dict[str, tuple[str, int, Settings]]:
    """Change, seed and settings of each run, checked by the project."""
    folders = folder_names("ablate.changes", [BASELINE, *plan.changes])
    changed = {name: merge(study.settings, change) for name, change in plan.changes.items()}
    variants = [(f"ablate.changes.{name}", settings) for name, settings in changed.items()]
    was = flatten(study.config)
    for (path, _), config in zip(variants, study.project.resolve_all(variants), strict=True):
        now = flatten(config)
        if was == now:
            raise CommandError(f"{path}: changes nothing; the settings have these values already")
        for setting in ("seed", "checkpoint.metric", "checkpoint.mode"):
            if was.get(setting) != now.get(setting):
                raise CommandError(f"{path}: {setting} has to be the same in all runs")

    # Seed by seed, so that a study that is stopped early has compared something.
    runs: dict[str, tuple[str, int, Settings]] = {}
    for seed in dict.fromkeys(plan.seeds):
        for name, settings in {BASELINE: study.settings, **changed}.items():
            with_seed = merge(settings, {"seed": seed})
            runs[f"{folders[name]}-seed-{seed}"] = (name, seed, with_seed)
    study.project.resolve_all([("ablate.seeds", runs[f"{BASELINE}-seed-{plan.seeds[-1]}"][2])])
    return runs


def compare(values: Values) -> dict[str, Effect]:
    """The effect of each change that has at least two seeds in common with the baseline."""
    baseline = values[BASELINE]
    effects: dict[str, Effect] = {}
    for name, by_seed in values.items():
        seeds = sorted(by_seed.keys() & baseline.keys())
        if name != BASELINE and len(seeds) >= 2:
            before = [baseline[seed] for seed in seeds]
            effects[name] = paired_effect(before, [by_seed[seed] for seed in seeds])
    adjusted = holm([effect.p for effect in effects.values()])
    return {
        name: replace(effect, adjusted_p=p)
        for (name, effect), p in zip(effects.items(), adjusted, strict=True)
    }


def paired_effect(before: Sequence[float], after: Sequence[float]) -> Effect:
    """Paired t-test and the t interval of the mean difference."""
    differences = np.subtract(after, before)
    mean, seeds = float(differences.mean()), len(before)
    if differences.std(ddof=1) <= 1e-12 * np.abs(after).max():
        return Effect(mean, mean, mean, seeds=seeds)  # equal but for rounding: nothing to test
    test = stats.ttest_rel(after, before)
    interval = test.confidence_interval(0.95)
    return Effect(mean, float(interval.low), float(interval.high), float(test.pvalue), seeds=seeds)


def conclude(study: Study, effect: Effect) -> str:
    """An effect in words."""
    if effect.low == effect.high:
        difference = f"a difference of {effect.mean:.3g}" if effect.mean else "identical results"
        return f"{difference} with each of {effect.seeds} seeds, so there is nothing to test"
    if not effect.is_significant:
        return f"no significant difference with {effect.seeds} seeds"
    better = (effect.mean < 0) == study.is_lower_better
    low, high = sorted((abs(effect.low), abs(effect.high)))
    return (
        f"{study.metric} is {'better' if better else 'worse'} by {abs(effect.mean):.3g} "
        f"(95% confidence interval {low:.3g} to {high:.3g})"
    )


def table_rows(values: Values, effects: Mapping[str, Effect]) -> list[list[str]]:
    """A row for the baseline and for each change."""
    lines: list[list[str]] = []
    for name, by_seed in values.items():
        mean = f"{np.mean(list(by_seed.values())):.4g}" if by_seed else ""
        cells = ["", "", "", ""]
        if effect := effects.get(name):
            cells = [f"{effect.mean:+.3g}", f"{effect.low:+.3g} to {effect.high:+.3g}"]
            is_tested = effect.low < effect.high
            cells += [f"{p:.2g}" if is_tested else "" for p in (effect.p, effect.adjusted_p)]
        lines.append([name, mean, *cells, str(len(by_seed))])
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
    labels = [name if len(name) < 28 else f"{name[:27]}…" for name in effects]
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    arrow = "← better" if study.is_lower_better else "better →"
    axes.set_xlabel(f"{study.metric}: change minus baseline   {arrow}")
    axes.grid(axis="x", alpha=0.3)
    return figure
