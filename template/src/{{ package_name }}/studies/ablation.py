# The template's: updates improve this file and keep your edits.
"""Step 6: take one thing away at a time, with several seeds, and see what it was worth.

Runs of one seed share the order of the batches and every random draw that the change leaves alone,
so a change is compared with the baseline seed by seed: paired differences vary less than the runs
themselves do. After Bouthillier et al. 2021 (https://arxiv.org/abs/2103.03098).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from textwrap import fill, shorten

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from scipy import stats

from ..config import Config, from_dict, merge, to_dict
from ..page import image, table, write_page
from .plan import AblatePlan, slug
from .runs import train_all

LEVEL = 0.05  # of a p-value that counts


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does to the metric: change minus baseline, over the seeds."""

    mean: float
    low: float  # of the 95 % interval of the mean
    high: float
    p: float | None  # None where there is nothing to test: too few seeds, or no spread
    adjusted: float | None = None  # for the number of changes

    @property
    def is_certain(self) -> bool:
        """Whether it can be told apart from noise."""
        return self.adjusted is not None and self.adjusted < LEVEL


@dataclass(frozen=True, slots=True)
class Ablated:
    """What a study found."""

    metric: str
    best_is: str
    values: Mapping[str, Mapping[int, float]]  # by name, "baseline" first, then by seed
    effects: Mapping[str, Effect]
    failures: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.metric}, {'lower' if self.best_is == 'lowest' else 'higher'} is better"

    def verdict(self, name: str) -> str:
        """A change in words."""
        if name not in self.effects:
            return "no two seeds to compare"
        effect, seeds = self.effects[name], len(self._pairs(name))
        if effect.mean == effect.low == effect.high == 0:
            return f"changes nothing: identical in each of {seeds} seeds"
        if not effect.is_certain:
            return f"can't be told apart from noise with {seeds} seeds"
        worse = (effect.mean > 0) == (self.best_is == "lowest")
        low, high = sorted((abs(effect.low), abs(effect.high)))
        how = f"{'worse' if worse else 'better'} by {abs(effect.mean):.3g}"
        return f"{self.metric} is {how} (95 %: {low:.3g} to {high:.3g})"

    def verdicts(self) -> list[str]:
        """Each change in words, a line each."""
        return [f"{name}: {self.verdict(name)}" for name in self.values if name != "baseline"]

    def _pairs(self, name: str) -> set[int]:
        return set(self.values[name]) & set(self.values["baseline"])


def ablate(
    plan: AblatePlan, base: Config, folder: Path, processes: int, console: Console
) -> Ablated:
    """Train what isn't trained yet, and compare each change with the baseline.

    Raises:
        Interrupted: it was stopped; runs that are done stay done.
        RunError: a run lies there with other settings or other data.
    """
    variants = {"baseline": base, **plan.changes}
    runs = {  # seed by seed, so that a study that is stopped has compared something
        f"{slug(name)}-seed-{seed}": (name, seed, from_dict(merge(to_dict(config), {"seed": seed})))
        for seed in plan.seeds
        for name, config in variants.items()
    }
    configs = {name: config for name, (_, _, config) in runs.items()}
    outcomes, failures = train_all(folder, configs, processes, console)
    values: dict[str, dict[int, float]] = {name: {} for name in variants}
    for run, (name, seed, _) in runs.items():
        if run in outcomes:
            values[name][seed] = outcomes[run].value
    chosen = base.checkpoint
    effects = compare(values["baseline"], {name: values[name] for name in plan.changes})
    return Ablated(chosen.metric, chosen.best_is, values, effects, failures)


def compare(
    baseline: Mapping[int, float], changes: Mapping[str, Mapping[int, float]]
) -> dict[str, Effect]:
    """The effect of each change that shares two seeds with the baseline."""
    effects: dict[str, Effect] = {}
    for name, values in changes.items():
        seeds = sorted(set(values) & set(baseline))
        if len(seeds) >= 2:
            effects[name] = paired([baseline[s] for s in seeds], [values[s] for s in seeds])
    tested = {name: each.p for name, each in effects.items() if each.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {name: replace(each, adjusted=adjusted.get(name)) for name, each in effects.items()}


def paired(before: Sequence[float], after: Sequence[float]) -> Effect:
    """Student's t interval of the mean difference, and the paired t-test.

    Differences that are all the same have no spread to judge by, hence no test.
    """
    differences = np.asarray(after, float) - np.asarray(before, float)
    count, mean = len(differences), float(differences.mean())
    spread = float(differences.std(ddof=1))
    if spread <= 1e-12 * max(1e-300, float(np.abs(after).max())):
        return Effect(mean, mean, mean, None)
    half = float(stats.t.ppf(0.975, count - 1)) * spread / math.sqrt(count)
    return Effect(mean, mean - half, mean + half, float(stats.ttest_rel(after, before).pvalue))


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted for their number: the chance of one false alarm among all stays the level.

    Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure.
    """
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=lambda each: p[each])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[at]))
        adjusted[at] = highest
    return adjusted


def _interval(values: Sequence[float]) -> str:
    """Mean and half of its 95 % interval."""
    if len(values) < 2:
        return f"{values[0]:.4g}" if values else "-"
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return f"{np.mean(values):.4g}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{half:.2g}"


HEADER = ("", "mean ± 95 %", "difference", "95 % of it", "p", "p by Holm", "seeds")


def rows(found: Ablated) -> list[tuple[str, ...]]:
    """A line for the baseline and each change."""
    lines: list[tuple[str, ...]] = []
    for name, values in found.values.items():
        cells = [name, _interval(list(values.values()))]
        effect = found.effects.get(name)
        if effect is None:
            cells += ["", "", "", ""]
        else:
            p = ["-" if each is None else f"{each:.2g}" for each in (effect.p, effect.adjusted)]
            cells += [f"{effect.mean:+.3g}", f"{effect.low:+.3g} to {effect.high:+.3g}", *p]
        lines.append((*cells, str(len(values))))
    return lines


def draw(found: Ablated) -> Figure:
    """The differences with their intervals, a line a change."""
    names = [name for name in found.values if name in found.effects]
    figure = Figure(figsize=(5.2, 1.4 + 0.45 * max(1, len(names))), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(names):
        effect = found.effects[name]
        worse = (effect.mean > 0) == (found.best_is == "lowest")
        colour = ("C3" if worse else "C0") if effect.is_certain else "0.45"
        axes.plot((effect.low, effect.high), (place, place), color=colour, linewidth=2)
        axes.plot(effect.mean, place, "o", color=colour)
    axes.axvline(0, color="0.2", linewidth=1)
    labels = [fill(shorten(name, 44, placeholder="…"), 22) for name in names]
    for text in axes.set_yticks(range(len(names)), labels):
        text.label1.set_parse_math(False)  # a name may have a dollar in it
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.08)
    better = "← better" if found.best_is == "lowest" else "better →"
    axes.set_xlabel(f"{found.metric}: change minus baseline   {better}")
    axes.grid(axis="x", alpha=0.3)
    return figure


def markdown(found: Ablated) -> str:
    """The table for a text."""
    lines = [("change", *HEADER[1:]), tuple("---" for _ in HEADER), *rows(found)]
    escaped = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
    cells = "\n".join(f"| {line} |" for line in escaped)
    words = "\n".join(f"- {line}" for line in found.verdicts())
    about = f"{found}. Paired t-tests over the seeds, adjusted by Holm 1979."
    return f"{about}\n\n{cells}\n\n{words}\n"


def write_report(path: Path, found: Ablated) -> None:
    """Write the page, and the table and the picture beside it."""
    path.with_name("table.md").write_text(markdown(found), encoding="utf-8")
    figure = draw(found)
    figure.savefig(path.with_name("effects.png"), dpi=120)
    about = f"{found}. Each change against the baseline, seed by seed."
    parts = [image(figure, "Difference of each change from the baseline")]
    parts.append(
        f"<p>Red is worse, blue better, grey can't be told from noise at {LEVEL:g} after Holm's "
        "correction for the number of changes. Bars are 95 % intervals of the mean, uncorrected."
    )
    parts += ["</p>", table(rows(found), HEADER), "<h2>In words</h2>", "<ul>"]
    parts += [f"<li>{escape(line)}</li>" for line in found.verdicts()] + ["</ul>"]
    if found.failures:
        parts += ["<h2>Runs without a result</h2>", table(list(found.failures.items()))]
    write_page(path, "Ablate", about, parts)
