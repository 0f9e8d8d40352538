"""Train models of several sizes on increasing fractions of the data, and fit scaling laws.

For each size a power law, loss = a * examples^-b, is fitted to the loss over the number of training
examples; it is a straight line on two logarithmic axes: Hestness et al. 2017
(https://arxiv.org/abs/1712.00409), Kaplan et al. 2020 (https://arxiv.org/abs/2001.08361). It has no
term for the loss that no amount of data removes, which three or four runs couldn't determine, so
it is trusted for twice the examples and no further.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from pydantic import AfterValidator, Field, PositiveFloat
from rich.console import Console
from scipy import stats

from ..errors import CommandError, printable
from ..reports.page import bullets, image, paragraph
from ..runs.plot import drawable
from .project import Settings
from .study import Study, StudyTable, distinct, folder_names, merge, nest

HEADER = ("run", "examples", "parameters", "loss", "seconds", "memory (MB)")
CAUTION = (
    "Lowest loss of a run with one seed; lower is better. The power law has no term for the loss "
    "that no amount of data removes, so it is too optimistic far ahead: trust it for the next "
    "doubling. Open circles are predictions, bars their 95% prediction intervals."
)


class ScaleTable(StudyTable):
    """The table [scale]."""

    metric: str = "validation/loss"  # pyright: ignore[reportIncompatibleVariableOverride]
    mode: Literal["min"] = "min"  # pyright: ignore[reportIncompatibleVariableOverride]
    fractions: Annotated[list[PositiveFloat], Field(min_length=2), AfterValidator(distinct)]
    setting: str = "training.train_fraction"  # that receives the fraction
    sizes: dict[str, dict[str, Any]] = Field(default_factory=dict)  # the settings of each


@dataclass(frozen=True)
class Point:
    """The result of one run."""

    run: str
    examples: int
    loss: float  # lowest on the validation split
    outcome: Mapping[str, Any]

    def __str__(self) -> str:
        return f"loss {self.loss:.4g} with {self.examples} examples"

    def row(self) -> list[str]:
        """Cells of a table."""
        cells = [self.run, str(self.examples), str(self.outcome.get("parameters", ""))]
        cells.append(f"{self.loss:.4g}")
        for key, unit in (("seconds", 1), ("memory", 1e6)):
            value = self.outcome.get(key)
            cells.append("" if value is None else f"{value / unit:.4g}")
        return cells


@dataclass(frozen=True)
class PowerLaw:
    """loss = scale * examples^-exponent, and its prediction for twice the examples."""

    scale: float
    exponent: float
    next_examples: int
    predicted: float
    interval: tuple[float, float] | None  # 95% prediction interval; None with two points

    def __str__(self) -> str:
        law = f"loss = {self.scale:.3g} * examples^{-self.exponent:.3f}"
        prediction = f"predicted for {self.next_examples} examples: {self.predicted:.4g}"
        if self.interval is not None:
            low, high = self.interval
            prediction += f" (95% prediction interval {low:.4g} to {high:.4g})"
        return f"{law}; {prediction}"


def scale(study: Study, plan: ScaleTable, console: Console, *, dry_run: bool) -> int:
    """Run the study. Returns the exit code: 0 if the loss falls with the number of examples."""
    runs = plan_runs(study, plan)
    if dry_run:
        print(f"{len(runs)} runs:", *runs, sep="\n")
        return 0
    settings = {name: settings for name, (_, settings) in runs.items()}
    if study.queue:
        return study.enqueue(settings)
    points, failures = study.train_all(settings, console, lambda name: _read_point(study, name))

    curves: dict[str, list[Point]] = {}
    for name, (size, _) in runs.items():
        if name in points:
            curves.setdefault(size, []).append(points[name])
    laws: dict[str, PowerLaw] = {}
    for size, points in curves.items():
        if law := fit([point.examples for point in points], [point.loss for point in points]):
            laws[size] = law

    problems = [f"{name} failed: {reason}" for name, reason in failures.items()]
    problems += find_problems(curves, laws)
    exponents = [f"{size} examples^{-law.exponent:.2f}" for size, law in laws.items()]
    summary = f"the loss falls with more data: {', '.join(exponents)}"

    parts = ["<h2>Scaling curve</h2>"]
    if laws:
        parts.append(image(draw(curves, laws), "Loss over the number of training examples"))
    parts += [bullets(f"{size} {law}" for size, law in laws.items()), paragraph(CAUTION)]
    rows = [point.row() for points in curves.values() for point in points]
    print(
        *(printable(f"{size}: {law}" if size else str(law)) for size, law in laws.items()), sep="\n"
    )
    tune = study.project.root / "configs/tune.toml"
    next_step = f"ml-architect tune {tune}" if tune.exists() else ""
    return study.finish("; ".join(problems), summary, parts, HEADER, rows, next_step)


def plan_runs(study: Study, plan: ScaleTable) -> dict[str, tuple[str, Settings]]:
    """Size and settings of each run, checked by the project."""
    folders = folder_names("scale.sizes", plan.sizes)
    runs: dict[str, tuple[str, Settings]] = {}
    for size, changes in (plan.sizes or {"": {}}).items():
        for fraction in sorted(set(plan.fractions)):
            name = f"{folders.get(size, 'fraction')}-{fraction:g}"
            settings = merge(merge(study.settings, changes), nest({plan.setting: fraction}))
            runs[name] = (size, settings)
    variants = [
        (f"scale.sizes.{size}" if size else "scale", settings) for size, settings in runs.values()
    ]
    study.project.resolve_all(variants)
    return runs


def _read_point(study: Study, name: str) -> Point:
    """Read the lowest loss of a run, which may not be the metric that selects checkpoints."""
    run = study.run(name)
    outcome = run.outcome or {}
    losses = [line[study.metric] for _, line in run.metrics if study.metric in line]
    if not losses:
        raise CommandError(f"{run.folder / 'metrics.jsonl'}: expected the metric {study.metric}")
    examples = outcome.get("train_examples")
    if not isinstance(examples, int) or examples < 1:
        raise CommandError(f"{run.folder / 'outcome.json'}: expected train_examples, 1 or more")
    return Point(name, examples, min(losses), outcome)


def fit(examples: Sequence[int], losses: Sequence[float]) -> PowerLaw | None:
    """Fit the power law by least squares on logarithms.

    Args:
        examples: numbers of training examples.
        losses: positive loss of the run with as many examples.

    Returns:
        None with fewer than two different numbers, or a loss that isn't positive.
    """
    if len(set(examples)) < 2 or not all(0 < loss < np.inf for loss in losses):
        return None
    x, y = np.log(examples), np.log(losses)
    slope, intercept = np.polyfit(x, y, 1)
    next_x = np.log(2 * max(examples))
    expected = intercept + slope * next_x

    interval = None
    degrees = len(x) - 2
    if degrees > 0:
        # Prediction interval: Draper and Smith, Applied Regression Analysis, section 1.4.
        variance = np.sum((y - intercept - slope * x) ** 2) / degrees
        leverage = 1 + 1 / len(x) + (next_x - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)
        half = stats.t.ppf(0.975, degrees) * np.sqrt(variance * leverage)
        interval = (float(np.exp(expected - half)), float(np.exp(expected + half)))
    law = float(np.exp(intercept)), -float(slope)
    return PowerLaw(*law, 2 * max(examples), float(np.exp(expected)), interval)


def find_problems(curves: Mapping[str, list[Point]], laws: Mapping[str, PowerLaw]) -> list[str]:
    """Describe the curves that don't fall, with likely causes."""
    problems: list[str] = []
    for size, points in curves.items():
        first, last = points[0], points[-1]
        falls = last.loss < first.loss and (size not in laws or laws[size].exponent > 0)
        if len(points) > 1 and not falls:
            problems.append(
                f"{size or 'the loss'} goes from {first.loss:.4g} to {last.loss:.4g} with "
                f"{last.examples / first.examples:.3g} times the examples. Likely causes: too few "
                "steps to use more examples; a model too small for them; a learning rate that "
                "suits small fractions only; differences below the noise of one seed"
            )
    return problems


def draw(curves: Mapping[str, list[Point]], laws: Mapping[str, PowerLaw]) -> Figure:
    """Loss over training examples, with each power law and its prediction."""
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    axes = figure.subplots()
    for number, (size, law) in enumerate(laws.items()):
        color = f"C{number}"
        examples = [point.examples for point in curves[size]]
        losses = [point.loss for point in curves[size]]
        axes.plot(examples, losses, "o", color=color, label=drawable(size))
        ends = np.array([min(examples), law.next_examples])
        axes.plot(ends, law.scale * ends**-law.exponent, "--", color=color, linewidth=1)
        axes.plot(law.next_examples, law.predicted, "o", markerfacecolor="white", color=color)
        if law.interval is not None:
            axes.vlines(law.next_examples, *law.interval, color=color, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="training examples", ylabel="lowest loss")

    # An interval from three points can be so wide that nothing else would be seen.
    losses = [point.loss for size in laws for point in curves[size]]
    losses += [law.predicted for law in laws.values()]
    axes.set_ylim(0.7 * min(losses), 1.4 * max(losses))
    examples = sorted({point.examples for size in laws for point in curves[size]})
    next_examples = {law.next_examples for law in laws.values()}
    axes.set_xticks([*examples, *next_examples], minor=False)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter("{x:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", rotation=45)
    axes.grid(alpha=0.3)
    if "" not in laws:
        for label in figure.legend(loc="outside lower center", ncols=3).get_texts():
            label.set_parse_math(False)  # a name may contain a dollar sign
    return figure
