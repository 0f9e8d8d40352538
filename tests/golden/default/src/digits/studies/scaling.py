# The template's: updates improve this file and keep your edits.
"""Step 5: train on more and more of the data, with larger and larger models, and see what it buys.

The loss of each size over the number of records is fitted by a power law, loss = a * records^-b,
a straight line on two logarithmic axes: Hestness et al. 2017 (https://arxiv.org/abs/1712.00409),
Kaplan et al. 2020 (https://arxiv.org/abs/2001.08361). It has no term for the loss that no amount of
data removes, so it is believed for the next rung only, which is twice the records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from rich.console import Console
from scipy import stats

from ..config import Config, from_dict, merge, to_dict
from ..page import image, several, table, write_page
from ..training.loop import build_network, records
from ..training.monitor import read_metrics
from ..training.run import Run
from .plan import ScalePlan, slug
from .runs import Outcome, train_all


@dataclass(frozen=True, slots=True)
class Point:
    """One rung of a ladder, climbed."""

    run: str
    size: str
    records: int
    parameters: int
    loss: float  # the lowest on the validation split
    seconds: float
    memory: int  # bytes


@dataclass(frozen=True, slots=True)
class Law:
    """loss = scale * records^-exponent, and what it says of twice the most records."""

    scale: float
    exponent: float
    next_records: int
    predicted: float
    interval: tuple[float, float] | None  # 95 %, of one more run; None with less than 3 points

    def __str__(self) -> str:
        low, high = self.interval or (None, None)
        between = f" (95 %: {low:.4g} to {high:.4g})" if self.interval else ""
        law = f"loss = {self.scale:.3g} * records^{-self.exponent:.3f}"
        return f"{law}; with {self.next_records} records it would be {self.predicted:.4g}{between}"


@dataclass(frozen=True, slots=True)
class Scaled:
    """What a study found."""

    points: Mapping[str, Sequence[Point]]  # by size, ascending in records
    laws: Mapping[str, Law]
    failures: Mapping[str, str]

    def problems(self) -> list[str]:
        """Why the ladder isn't one, a line each, with what is likely behind it."""
        found = [f"{run} has no result: {reason}" for run, reason in self.failures.items()]
        for size, points in self.points.items():
            if len(points) < 2 or (points[-1].loss < points[0].loss and self._falls(size)):
                continue
            ladder = f"the ladder {size}" if size else "the ladder"
            found.append(
                f"{ladder}: the loss goes from {points[0].loss:.4g} to {points[-1].loss:.4g} with "
                f"{points[-1].records / points[0].records:.3g} times the records. Likely causes: "
                "too few steps to use more records (training.max_steps); a model too small for "
                "them; a learning rate that suits small shares only; differences below the noise "
                "of one seed"
            )
        return found

    def _falls(self, size: str) -> bool:
        return size not in self.laws or self.laws[size].exponent > 0


def scale(plan: ScalePlan, folder: Path, processes: int, console: Console) -> Scaled:
    """Train what isn't trained yet, and fit the laws.

    Raises:
        Interrupted: it was stopped; rungs that are done stay done.
        RunError: a rung lies there with other settings or other data.
    """
    rungs = {
        f"{slug(size)}-{share:g}" if size else f"share-{share:g}": (size, _of(config, share))
        for size, config in plan.sizes.items()
        for share in plan.shares
    }
    configs = {name: config for name, (_, config) in rungs.items()}
    outcomes, failures = train_all(folder, configs, processes, console)
    points: dict[str, list[Point]] = {}
    for name, (size, config) in rungs.items():
        if name in outcomes:
            point = _point(name, size, config, Run(folder / name), outcomes[name])
            points.setdefault(size, []).append(point)
    laws = {
        size: law
        for size, each in points.items()
        if (law := fit([p.records for p in each], [p.loss for p in each]))
    }
    return Scaled(points, laws, failures)


def _of(config: Config, share: float) -> Config:
    return from_dict(merge(to_dict(config), {"training": {"share": share}}))


def _point(name: str, size: str, config: Config, run: Run, outcome: Outcome) -> Point:
    training = records(config, "train")
    weights = build_network(config, training).parameters()
    history = read_metrics(run.metrics)
    return Point(
        run=name,
        size=size,
        records=len(training),
        parameters=sum(each.numel() for each in weights),
        loss=min(line["validation/loss"] for _, line in history if "validation/loss" in line),
        seconds=outcome.seconds,
        memory=outcome.memory,
    )


def fit(sizes: Sequence[int], losses: Sequence[float]) -> Law | None:
    """The power law by least squares in logarithms, with the interval of the next point.

    Args:
        sizes: numbers of records.
        losses: of a run each, positive.

    Returns:
        None where there are fewer than two sizes, or a loss isn't positive.
    """
    if len(set(sizes)) < 2 or min(losses) <= 0:
        return None
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(losses, float))
    slope, offset = (float(each) for each in np.polyfit(x, y, 1))
    ahead = 2 * max(sizes)
    expected = offset + slope * np.log(ahead)
    interval = None
    if (free := len(x) - 2) > 0:  # Draper and Smith, Applied Regression Analysis, section 1.4
        rest = float(np.sum((y - offset - slope * x) ** 2)) / free
        apart = (np.log(ahead) - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)
        half = float(stats.t.ppf(0.975, free)) * np.sqrt(rest * (1 + 1 / len(x) + apart))
        interval = (float(np.exp(expected - half)), float(np.exp(expected + half)))
    return Law(float(np.exp(offset)), -slope, ahead, float(np.exp(expected)), interval)


def draw_records(found: Scaled) -> Figure:
    """Loss over records, a colour for each size, with its law and what that says of the next."""
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    axes = figure.subplots()
    ticks: set[float] = set()
    for number, (size, points) in enumerate(found.points.items()):
        colour, x = f"C{number}", [point.records for point in points]
        axes.plot(x, [point.loss for point in points], "o", color=colour, label=size or "loss")
        ticks |= set(x)
        if law := found.laws.get(size):
            ends = np.array([min(x), max(x), law.next_records])
            y = law.scale * ends**-law.exponent
            axes.plot(ends[:2], y[:2], color=colour, linewidth=1)
            axes.plot(ends[1:], y[1:], "--", color=colour, linewidth=1)
            at = law.next_records * 1.03 ** (2 * number)  # intervals side by side
            axes.plot(at, law.predicted, "o", mfc="white", color=colour)
            if law.interval:
                axes.vlines(at, *law.interval, color=colour, linewidth=1)
            ticks.add(law.next_records)
    _logarithmic(axes, "records", ticks)
    axes.set_ylabel("lowest loss on the validation split")
    if "" not in found.points:
        legend = figure.legend(loc="outside lower center", ncols=3, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a name may have a dollar in it
    return figure


def draw_sizes(found: Scaled) -> Figure:
    """Loss over parameters, each size with the most records that it was trained on."""
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    axes = figure.subplots()
    last = sorted((points[-1] for points in found.points.values()), key=lambda p: p.parameters)
    axes.plot([p.parameters for p in last], [p.loss for p in last], color="0.7", linewidth=1)
    for number, points in enumerate(found.points.values()):
        axes.plot(points[-1].parameters, points[-1].loss, "o", color=f"C{number}")
    _logarithmic(axes, "parameters, on the most records", {p.parameters for p in last})
    axes.set_ylabel("lowest loss on the validation split")
    return figure


def _logarithmic(axes: Axes, title: str, ticks: set[float]) -> None:
    """Two logarithmic axes with few ticks, in plain numbers."""
    kept: list[float] = []
    for tick in sorted(ticks, reverse=True):  # none that would overlap
        if not kept or kept[-1] / tick > 1.6:
            kept.append(tick)
    axes.set(xscale="log", yscale="log", xlabel=title)
    axes.xaxis.set_major_locator(FixedLocator(kept))
    low, high = axes.get_ylim()
    wide = high / low > 8
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(6))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(_short))
    axes.grid(alpha=0.3)


def _short(value: float, _: int | None = None) -> str:
    for least, unit, name in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= least:
            return f"{value / unit:.3g}{name}"
    return f"{value:.4g}"


HEADER = ("run", "records", "parameters", "loss", "seconds", "memory in MB")


def rows(found: Scaled) -> list[tuple[str, ...]]:
    """A line a rung."""
    return [
        (p.run, str(p.records), str(p.parameters), f"{p.loss:.4g}", f"{p.seconds:.1f}", _mb(p))
        for points in found.points.values()
        for p in points
    ]


def _mb(point: Point) -> str:
    return f"{point.memory / 1e6:.0f}"


def write_report(path: Path, found: Scaled) -> None:
    """Write the page, and the picture beside it."""
    figure = draw_records(found)
    figure.savefig(path.with_name("curve.png"), dpi=160)
    pictures = [image(figure, "Loss over records")]
    if len(found.points) > 1:
        pictures.append(image(draw_sizes(found), "Loss over parameters"))
    laws = [(size or "loss", str(law)) for size, law in found.laws.items()]
    limits = (
        "Loss is the lowest validation/loss of a run with one seed; lower is better. A law without "
        "a term for the loss that no data removes promises too much far ahead: believe it for the "
        "next rung only. Open circles are predictions, bars their 95 % intervals."
    )
    parts = [several(pictures), table(laws)]
    parts += [f"<p>{limits}</p>", "<h2>Every rung</h2>", table(rows(found), HEADER)]
    if problems := found.problems():
        parts += ["<h2>What isn't as it should be</h2>", table([("", each) for each in problems])]
    write_page(path, "Scale", "Loss by the size of the data and of the model.", parts)
