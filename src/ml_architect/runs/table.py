"""Lists runs in a table, or compares some of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import CommandError, printable
from .run import Run, all_runs, find_root, flatten, open_run

MAX_SECONDS = 1e12  # of a run; a timedelta can't hold much more
MAX_CHARACTERS = 200  # of a cell


@dataclass(frozen=True)
class Summary:
    """Progress and results of a run."""

    run: Run

    @property
    def started(self) -> str:
        """When it was created, in local time."""
        return f"{self._started():%Y-%m-%d %H:%M}"

    @property
    def order(self) -> tuple[float, int]:
        """Sorts runs by their age, those of one second by their files."""
        created = (self.run.folder / "config.toml").stat().st_mtime_ns
        return self._started().timestamp(), created

    def _started(self) -> datetime:
        started = self.run.provenance["started"]
        try:
            return datetime.fromisoformat(started).astimezone()
        except (ValueError, OverflowError):
            raise CommandError(
                f"{self.run.folder / 'run.json'}: started is {started!r:.100}, expected ISO 8601"
            ) from None

    @cached_property
    def outcome(self) -> Mapping[str, Any]:
        """The content of outcome.json; empty until the run has ended."""
        return self.run.outcome or {}

    @property
    def state(self) -> str:
        """`finished`, `running` or `unfinished`."""
        if self.outcome:
            return "finished"
        return "running" if self.run.is_locked() else "unfinished"

    @property
    def step(self) -> int:
        """The last step that was logged."""
        return self.run.metrics[-1][0] if self.run.metrics else 0

    @property
    def duration(self) -> str:
        """Time of training so far."""
        seconds = self.outcome.get("seconds")
        if seconds is None and self.run.timings:
            seconds = self.run.timings[-1].get("seconds")
        if seconds is None or not 0 <= seconds < MAX_SECONDS:
            return ""
        return str(timedelta(seconds=round(seconds)))

    @property
    def best(self) -> str:
        """The best value of the metric that selects the checkpoint, once the run has ended."""
        value = self.outcome.get("best_value")
        if value is None:
            return ""
        step = self.outcome.get("best_step")
        at = "" if step is None else f" at {step}"
        return f"{self.outcome['metric']} {value:.4g}{at}"

    @property
    def test(self) -> str:
        """The metric that selects the checkpoint, on the test split; empty until `evaluate`."""
        evaluation = self.run.evaluation
        chosen = evaluation and evaluation.selecting(self.outcome.get("metric"))
        return " ".join(map(str, chosen)) if chosen else ""

    @property
    def last_metrics(self) -> dict[str, float]:
        """The newest value of each metric."""
        return {name: value for _, line in self.run.metrics for name, value in line.items()}


def list_runs(console: Console) -> None:
    """Print one line per run, the newest last; a run that can't be read is `broken`."""
    root = find_root()
    rows: list[tuple[tuple[float, int], list[str]]] = []
    for run in all_runs(root):
        try:
            if not run.provenance.get("scratch"):
                summary = Summary(run)
                cells = [run.name, summary.started, summary.state, str(summary.step)]
                rows.append((summary.order, [*cells, summary.duration, summary.best, summary.test]))
        except CommandError as error:
            print(_one_line(error), file=sys.stderr)
            created = run.folder.stat().st_mtime
            rows.append(((created, 0), [run.name, "", "broken", "", "", "", ""]))
    if not rows:
        print(f"No runs in {root / 'runs'} yet. A project's command `train` creates one.")
        return

    headings = ["run", "started", "state", "step", "time", "best", "test (95% interval)"]
    if not any(cells[-1] for _, cells in rows):  # none has been evaluated
        headings.pop()
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        # On a narrow terminal the results take two lines; nothing is cut off.
        wraps = heading == "best" or heading.startswith("test")
        right = heading not in ("run", "started", "state")
        justify = "right" if right else "left"
        table.add_column(heading, justify=justify, no_wrap=not wraps, overflow="fold")
    for _, cells in sorted(rows):
        table.add_row(*map(_cell, cells[: len(headings)]))
    _print(table, console)


def compare_runs(names: Sequence[Path], console: Console) -> None:
    """Print differences in settings and provenance, and the results, one column per run."""
    root = find_root()
    runs = [open_run(name, root) for name in names]
    summaries = [Summary(run) for run in runs]
    table = Table("", box=None, pad_edge=False)
    for run in runs:
        table.add_column(_cell(run.name))
    sections = {
        "Settings that differ": [flatten(run.config) for run in runs],
        "Provenance that differs": [_provenance(run) for run in runs],
        "Results": [_results(summary) for summary in summaries],
        "Test split (95% interval)": [_test_results(run) for run in runs],
    }
    for title, columns in sections.items():
        names_of_rows = dict.fromkeys(name for column in columns for name in column)
        rows: list[tuple[str, list[str]]] = []
        for name in names_of_rows:
            cells = [_format(column.get(name, "-")) for column in columns]
            if "differ" not in title or len(set(cells)) > 1:
                rows.append((name, cells))
        if rows:
            table.add_row()
            table.add_row(Text(title, style="bold"))
        for name, cells in rows:
            table.add_row(*map(_cell, [name, *cells]))
    _print(table, console)


def _cell(text: str) -> Text:
    """One line of a table, whatever a name or a file of someone else's has in it."""
    return Text(_one_line(text)[:MAX_CHARACTERS])


def _one_line(text: object) -> str:
    return printable(str(text)).replace("\n", "\\n")


def _print(table: Table, console: Console) -> None:
    """Print it; in a pipe, whose width is unknown, without breaking lines."""
    (console if console.is_terminal else Console(width=200)).print(table)


def _provenance(run: Run) -> dict[str, Any]:
    recorded = run.provenance
    git = recorded.get("git", {})
    commit = str(git.get("commit") or "none")[:10]
    if git.get("diff"):
        commit += " with uncommitted changes"
    device = " ".join(map(str, recorded.get("device", {}).values()))
    packages = {f"{name} version": text for name, text in recorded.get("packages", {}).items()}
    return {"commit": commit, "data": recorded.get("data", "-"), "device": device} | packages


def _results(summary: Summary) -> dict[str, Any]:
    results = {"state": summary.state, "step": summary.step, "time": summary.duration}
    results["best"] = summary.best
    for key in ("ended_by", "parameters", "train_examples", "memory"):
        if key in summary.outcome:
            results[key] = summary.outcome[key]
    return results | summary.last_metrics


def _test_results(run: Run) -> dict[str, Any]:
    evaluation = run.evaluation
    if evaluation is None:
        return {}
    counts = {"examples": evaluation.examples, "step evaluated": evaluation.step}
    return {**evaluation.metrics, **counts}


def _format(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
