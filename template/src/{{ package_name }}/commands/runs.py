# The template's: updates improve this file and keep your edits.
"""What there is already: the runs, one beside the other, and how far the work has come."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from ..config import flat
from ..errors import NAME, ProjectError, RunError
from .base import Command
from .data import expired
from .ledger import Ledger

if TYPE_CHECKING:
    from ..protocols import Metrics
    from ..training.run import Run


@dataclass(frozen=True, kw_only=True)
class Runs(Command):
    """List the runs with their last metrics; of several, what differs, side by side."""

    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="[RUN…]")]] = ()
    """Folders of the runs to compare; none lists all."""

    def __call__(self) -> int:
        """See `Command`."""
        from ..training.run import RUNS, Run

        if self.runs:
            compared = _compared([Run.open(path) for path in self.runs])
            Console().print(compared)
            return 0
        folders = [path.parent for path in RUNS.glob("*/config.toml")]
        folders += [path.parent for path in RUNS.glob("*/*/config.toml")]  # of studies
        if not folders:
            print(f"There are no runs yet. Next: {NAME} train --config configs/small.toml")
            return 0
        console = Console()
        if not console.is_terminal:
            console = Console(width=160)  # for a pipe, which needs no line to end early
        console.print(_listed([Run(folder) for folder in folders]))
        print(f"Side by side: {NAME} runs RUN RUN…; as curves: {NAME} plot RUN…")
        return 0


@dataclass(frozen=True, slots=True)
class Glance:
    """How far a run has come."""

    state: str
    step: int
    seconds: float
    best_value: float | None  # of what chooses the best checkpoint
    best_step: int | None
    last: Metrics  # that were logged

    @classmethod
    def of(cls, run: Run, config: Mapping[str, Any]) -> Glance:
        """Read what the run has written so far, also while it goes on."""
        from ..training.monitor import read_metrics, read_seconds

        history = read_metrics(run.metrics)
        chosen = config["checkpoint"]
        values = [
            (line[chosen["metric"]], step) for step, line in history if chosen["metric"] in line
        ]
        pick = min if chosen["best_is"] == "lowest" else max
        value, at = pick(values, key=lambda pair: pair[0], default=(None, None))
        step = history[-1][0] if history else 0
        last = dict(item for _, line in history for item in line.items())
        state = "done" if run.outcome.exists() else "in use" if run.is_in_use() else "stopped"
        return cls(state, step, read_seconds(run.timings), value, at, last)


def _listed(runs: Sequence[Run]) -> Table:
    """A line a run, the newest last, with what was measured last on held-out records."""
    seen: list[tuple[str, Run, int, Glance]] = []
    for run in runs:
        try:
            recorded = run.read_provenance()
            steps = recorded["config"]["training"]["max_steps"]
            seen.append((recorded["started"], run, steps, Glance.of(run, recorded["config"])))
        except (ProjectError, ValueError, KeyError) as error:
            print(error, file=sys.stderr)
    held_out = [name for *_, known in seen for name in known.last if name.startswith("validation/")]
    metrics = list(dict.fromkeys(held_out))
    table = Table("run", "began", "state", box=None, pad_edge=False)
    for heading in ("steps", "time", "best", "at", *metrics):
        table.add_column(heading.replace("validation/", "last "), justify="right")
    for started, run, steps, known in sorted(seen, key=_age):
        best = (
            ("", "") if known.best_value is None else (f"{known.best_value:.4g}", known.best_step)
        )
        cells = [run.folder.relative_to(run.folder.parts[0]), f"{_local(started):%m-%d %H:%M}"]
        cells += [known.state, f"{known.step}/{steps}", _time(known), *best]
        cells += [_shown(known.last.get(name, "")) for name in metrics]
        table.add_row(*(Text(str(cell), no_wrap=True) for cell in cells))
    return table


def _age(seen: tuple[str, Run, int, Glance]) -> tuple[str, int]:
    """Of runs that began in the same second, the file that is older."""
    started, run, *_ = seen
    return started, run.config.stat().st_mtime_ns


def _time(known: Glance) -> timedelta:
    return timedelta(seconds=round(known.seconds))


def _local(moment: str) -> datetime:
    return datetime.fromisoformat(moment).astimezone()


def _compared(runs: Sequence[Run]) -> Table:
    """Settings that differ, then metrics: a line each, a column a run."""
    table = Table("", *(str(run.folder) for run in runs), box=None, pad_edge=False)
    recorded = [run.read_provenance() for run in runs]
    known = [Glance.of(run, each["config"]) for run, each in zip(runs, recorded, strict=True)]
    parts: list[tuple[str, list[dict[str, Any]]]] = [
        ("Settings that differ", [flat(each["config"]) for each in recorded]),
        ("Where they come from", [_origin(each) for each in recorded]),
        ("At the end", [_end(each) for each in known]),
    ]
    for title, columns in parts:
        names = list(dict.fromkeys(name for column in columns for name in column))
        lines = [(name, [column.get(name, "-") for column in columns]) for name in names]
        if title != "At the end":
            lines = [(name, cells) for name, cells in lines if len(set(map(str, cells))) > 1]
        if lines:
            table.add_section()
            table.add_row(Text(title, style="bold"))
        for name, cells in lines:
            table.add_row(Text(name), *(Text(_shown(cell)) for cell in cells))
    return table


def _origin(recorded: Mapping[str, Any]) -> dict[str, str]:
    commit = (recorded["git"]["commit"] or "none")[:10]
    changed = " with uncommitted changes" if recorded["git"]["diff"] else ""
    device = " ".join(str(value) for value in recorded["device"].values())
    return {"commit": commit + changed, "data": recorded["data"], "device": device}


def _end(known: Glance) -> dict[str, Any]:
    found: dict[str, Any] = {"state": known.state, "steps": known.step}
    found["time"] = _time(known)
    if known.best_value is not None:
        found |= {"best value": known.best_value, "best step": known.best_step}
    return found | {f"last {name}": value for name, value in known.last.items()}


def _shown(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, kw_only=True)
class Plot(Command):
    """Draw the metrics of one run, or of several in the same panels."""

    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN…")]]
    """Folders of the runs."""
    output: Annotated[Path, arg(metavar="FILE")] = Path("runs/curves.png")
    """The picture: .png, .svg or .pdf."""

    def __call__(self) -> int:
        """See `Command`."""
        from ..eval.curves import draw_curves
        from ..training.monitor import read_metrics
        from ..training.run import Run

        if not self.runs:
            raise RunError(f"plot: expected the folders of runs: {NAME} plot RUN…")
        runs = [Run.open(path) for path in self.runs]
        histories = {str(run.folder): read_metrics(run.metrics) for run in runs}
        if empty := [name for name, lines in histories.items() if not lines]:
            raise RunError(f"{empty[0]}: nothing is logged yet; first: {NAME} train")
        if self.output.suffix not in {".png", ".svg", ".pdf"}:
            raise RunError(f"--output {self.output}: expected a name with .png, .svg or .pdf")
        if not self.output.parent.is_dir():
            raise RunError(f"--output {self.output}: there is no folder {self.output.parent}")
        draw_curves(histories).savefig(self.output, dpi=120)
        print(f"The curves: {self.output}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Status(Command):
    """Which steps have passed for the code, the configs and the data as they are now."""

    def __call__(self) -> int:
        """See `Command`."""
        table = Table("", "step", "", "found", box=None, pad_edge=False)
        standings = Ledger().standings()
        for each in standings:
            found = each.entry.get("said", "")
            colour = "green" if each.passed else "yellow" if each.entry else "default"
            table.add_row(
                str(each.command.number), each.name, Text(str(each), style=colour), Text(found)
            )
        Console().print(table)
        for line in expired(datetime.now(UTC).astimezone().date()):
            print(line)
        if following := [each for each in standings if not each.passed]:
            print(f"Next: {NAME} {following[0].command.usual}")
        else:
            print("All steps have passed.")
        return 0
