"""Learning curves of one or several runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D

from ..errors import CommandError, printable
from .run import RUNS, History, find_root, open_run, write_file

SUFFIXES = (".png", ".svg", ".pdf")
MAX_CHARACTERS = 60  # of a label


def plot_runs(names: Sequence[Path], output: Path | None) -> None:
    """Write the curves of some runs to an image file.

    Raises:
        CommandError: a run doesn't exist or has logged nothing, or the file can't be one.
    """
    root = find_root()
    runs = [open_run(name, root) for name in names]
    for run in runs:
        if not any(line for _, line in run.metrics):
            raise CommandError(f"{run.folder / 'metrics.jsonl'}: nothing is logged yet")
    output = root / RUNS / "curves.png" if output is None else output
    if output.suffix not in SUFFIXES:
        raise CommandError(f"--output {output}: expected a name ending in {', '.join(SUFFIXES)}")
    if not output.parent.is_dir():
        raise CommandError(f"--output {output}: there is no folder {output.parent}")
    image = BytesIO()
    figure = draw_curves({run.name: run.metrics for run in runs})
    figure.savefig(image, format=output.suffix[1:], dpi=120)
    write_file(output, image.getvalue())
    print(f"Learning curves: {output}")


def draw_curves(histories: Mapping[str, History]) -> Figure:
    """Plot one panel per metric, with one color per run; validation is dashed.

    Args:
        histories: by the run's name. `train/loss` and `validation/loss` are in one panel.
    """
    titles = metric_titles(histories)
    columns = min(2, len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(4.8 * columns, 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axes, title in zip(panels, titles, strict=False):
        draw_metric(axes, title, histories)
    for axes in panels[len(titles) :]:
        axes.set_axis_off()

    handles = [
        Line2D([], [], color=f"C{n}", label=drawable(name)) for n, name in enumerate(histories)
    ]
    handles += [
        Line2D([], [], color="gray", linestyle="-", label="train"),
        Line2D([], [], color="gray", linestyle="--", label="validation"),
    ]
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    for label in legend.get_texts():
        label.set_parse_math(False)  # a run's name may contain a dollar sign
    return figure


def drawable(text: str) -> str:
    """A label with escapes for what the font lacks, since every such letter is the same box.

    Matplotlib's own font has no Chinese, for example; set `font.family` in a matplotlibrc.
    """
    if len(text) > MAX_CHARACTERS:
        text = f"{text[: MAX_CHARACTERS - 1]}…"
    known = _characters(findfont(FontProperties()))
    letters = printable(text)
    return "".join(letter if ord(letter) in known else ascii(letter)[1:-1] for letter in letters)


@cache
def _characters(font: str) -> Collection[int]:
    return frozenset(get_font(font).get_charmap())


def metric_titles(histories: Mapping[str, History]) -> list[str]:
    """Metrics without `train/` or `validation/`, those of the validation split first."""
    names = {name for history in histories.values() for _, line in history for name in line}
    validated = {name.rpartition("/")[2] for name in names if name.startswith("validation/")}
    titles = {name.rpartition("/")[2] for name in names}
    return sorted(titles, key=lambda title: (title not in validated, title))


def draw_metric(axes: Axes, title: str, histories: Mapping[str, History]) -> None:
    """Draw one metric of each run over the steps."""
    drawn: list[float] = []
    for number, history in enumerate(histories.values()):
        for name in sorted({name for _, line in history for name in line}):
            if name.rpartition("/")[2] != title:
                continue
            steps = [step for step, line in history if name in line]
            values = [line[name] for _, line in history if name in line]
            style = "-" if name.startswith("train/") else "--"
            marker = "." if len(values) == 1 else ""
            axes.plot(steps, values, style, color=f"C{number}", linewidth=1.2, marker=marker)
            drawn += values
    if title in ("loss", "gradient_norm") and min(drawn) > 0:
        axes.set_yscale("log")
    axes.set_title(drawable(title.replace("_", " ")), parse_math=False)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
