# The template's: updates improve this file and keep your edits.
"""How the metrics of one run or of several went, as a picture."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..page import image, several
from ..protocols import History


def draw_curves(histories: Mapping[str, History]) -> Figure:
    """A panel for each metric, a colour for each run, dashes for what was held out.

    Args:
        histories: by the run's name. `train/loss` and `validation/loss` share a panel.
    """
    titles = _titles(histories)
    columns = min(2, max(1, len(titles)))
    rows = max(1, -(-len(titles) // columns))
    figure = Figure(figsize=(4.8 * columns, 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axes in panels[len(titles) :]:
        axes.set_axis_off()
    for axes, title in zip(panels, titles, strict=False):
        _draw(axes, title, histories)
    runs = enumerate(histories)
    marks = [Line2D([], [], color=f"C{number}", label=name) for number, name in runs]
    marks += [
        Line2D([], [], color="gray", linestyle="-", label="train"),
        Line2D([], [], color="gray", linestyle="--", label="validation"),
    ]
    legend = figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a run's name may have a dollar in it
    return figure


def curves_section(history: History) -> str:
    """HTML: the metrics of one run, a picture each."""
    parts: list[str] = []
    for title in _titles({"": history}):
        figure = Figure(figsize=(3.8, 2.6), layout="constrained")
        _draw(figure.subplots(), title, {"": history})
        parts.append(image(figure, f"{title.replace('_', ' ')} over the steps"))
    return f"<h2>Training</h2><p>Dashed, or a single point: validation.</p>{several(parts)}"


def _titles(histories: Mapping[str, History]) -> list[str]:
    """The metrics, those of held-out records first."""
    names = {name for lines in histories.values() for _, line in lines for name in line}
    held_out = {name.rpartition("/")[2] for name in names if name.startswith("validation/")}
    titles = {name.rpartition("/")[2] for name in names}
    return sorted(titles, key=lambda title: (title not in held_out, title))


def _draw(axes: Axes, title: str, histories: Mapping[str, History]) -> None:
    values: list[float] = []
    for number, lines in enumerate(histories.values()):
        for name in sorted({name for _, line in lines for name in line}):
            points = [(step, line[name]) for step, line in lines if name in line]
            if points and name.rpartition("/")[2] == title:
                steps, drawn = zip(*points, strict=True)
                style = "-" if name.startswith("train/") else "--"
                marker = "." if len(points) == 1 else ""
                axes.plot(steps, drawn, style, color=f"C{number}", linewidth=1.2, marker=marker)
                values.extend(drawn)
    if title in {"loss", "gradient_norm"} and values and min(values) > 0:
        axes.set_yscale("log")
    axes.set(title=title.replace("_", " "), xlabel="step")
    axes.grid(alpha=0.3)
