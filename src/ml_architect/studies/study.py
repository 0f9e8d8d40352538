"""A study: a table of a config file, a folder in runs/, and the settings that its runs share."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from ..errors import CommandError, nearest, printable
from ..reports.page import table, write_page
from ..runs.run import FORMAT, RUNS, Run, flatten, write_file
from .project import Project, Settings
from .runner import StopRequest, StudyProgress, command_line, stop_on_signal, train

KINDS = ("scale", "tune", "ablate")


class StudyTable(BaseModel):
    """A study's own table in a config file."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    metric: str | None = None  # by default the project's checkpoint.metric
    mode: Literal["min", "max"] | None = None


def distinct(values: list[Any]) -> list[Any]:
    """Check that no value occurs twice."""
    if len(set(map(repr, values))) < len(values):
        raise ValueError("expected different values")
    return values


class Incomplete(CommandError):  # noqa: N818 - nothing went wrong
    """Other runs of the study haven't ended; they are trained elsewhere."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


TableType = TypeVar("TableType", bound=StudyTable)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Study:
    """The common part of the three kinds of study."""

    kind: str
    project: Project
    folder: Path
    settings: Settings  # passed to every run
    config: Settings  # the complete config with these settings
    metric: str
    mode: str  # min or max
    jobs: int  # runs that train at the same time
    only: str = ""  # the run that is trained here; others are trained elsewhere
    queue: Queue | None = None  # gives the runs to a cluster

    @property
    def seed(self) -> int:
        """Seed of the project's config, 0 if it has none."""
        seed = self.config.get("seed", 0)
        return seed if isinstance(seed, int) else 0

    @property
    def is_lower_better(self) -> bool:
        """The direction of the metric."""
        return self.mode == "min"

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Write study.json, or check that the folder has the same study.

        Args:
            plan: the runs, or the search space.

        Raises:
            CommandError: the folder has a run, or a study with other settings.
        """
        if (self.folder / "config.toml").exists():
            raise CommandError(f"{self.folder} is a run. Choose another name: --study NAME")
        content = {
            "format": FORMAT,
            "kind": self.kind,
            "tool_version": version("ml-architect"),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command_line(),
            "seed": self.seed,
            "metric": self.metric,
            "mode": self.mode,
            "config": self.config,
            "plan": plan,
        }
        path = self.folder / "study.json"
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            self._require_same(before, json.loads(json.dumps(content, default=str)))
            content["started"] = before["started"]
        write_file(path, (json.dumps(content, indent=2, default=str) + "\n").encode())

    def _require_same(self, before: Settings, now: Settings) -> None:
        def compared(content: Settings) -> Settings:
            names = ("kind", "metric", "mode", "config")
            space = content["plan"].get("space")
            return flatten({name: content[name] for name in names} | {"space": space})

        old, new = compared(before), compared(now)
        changes = [
            f"  {name}: was {old.get(name)!r}, now {new.get(name)!r}"
            for name in sorted({*old, *new})
            if old.get(name) != new.get(name)
        ]
        if changes:
            raise CommandError(
                f"{self.folder} was started with different settings:\n" + "\n".join(changes) + "\n"
                "Restore them, or start another study: --study NAME"
            )

    def run(self, name: str) -> Run:
        """One run of the study, whether it exists or not."""
        return Run(self.folder / name, self.project.root)

    def write_config(self, name: str, settings: Settings) -> Path:
        """Write the settings of a run.

        Raises:
            CommandError: the study has a run of that name with other settings.
            FileNotFoundError: the study was moved or deleted meanwhile.
        """
        self._require_folder()
        path = self.folder / "configs" / f"{name}.toml"
        if path.exists() and tomllib.loads(path.read_text(encoding="utf-8")) != settings:
            raise CommandError(
                f"{path} has different settings than the study has now. Restore them, or start "
                "another study: --study NAME"
            )
        write_file(path, tomli_w.dumps(settings).encode())
        return path

    def read_value(self, name: str) -> float:
        """The best value of the metric that a run reached.

        Raises:
            CommandError: there is none, or the run measured another metric than the study compares.
        """
        path = self.folder / name / "outcome.json"
        outcome = self.run(name).outcome
        if outcome is None:
            raise CommandError(f"{path}: no such file")
        metric, expected = (
            f"{outcome['metric']} ({outcome['mode']})",
            f"{self.metric} ({self.mode})",
        )
        if metric != expected:
            raise CommandError(f"{path}: the metric is {metric}, expected {expected}")
        if outcome["best_value"] is None:
            raise CommandError(f"{path}: there is no best_value")
        return outcome["best_value"]

    def require_one_dataset(
        self, names: Iterable[str], folds: Mapping[str, str] | None = None
    ) -> None:
        """Refuse to compare runs that were trained on different data.

        Args:
            names: of the runs.
            folds: of a cross-validation, by the names of the runs: only runs of one fold have to
                have the same data.

        Raises:
            CommandError: the digests of the data differ.
        """
        first: dict[str, tuple[str, str]] = {}
        for name in names:
            if not (self.folder / name / "run.json").exists():
                continue
            digest = str(self.run(name).provenance.get("data"))
            fold = folds[name] if folds else ""
            expected, other = first.setdefault(fold, (digest, name))
            if digest != expected:
                message = (
                    f"{self.folder}: the data changed between runs: {other} ({expected}), {name} "
                    f"({digest}). Start another study: --study NAME"
                )
                if self.kind == "ablate" and not fold:
                    message += ". Splits of a cross-validation belong in [ablate.folds]"
                raise CommandError(message)

    def train(
        self,
        name: str,
        config: Path,
        stop: StopRequest,
        give_up: Callable[[], bool] = lambda: False,
    ) -> str:
        """Train one run; see `runner.train`."""
        threads = max(1, (os.cpu_count() or 1) // self.jobs) if self.jobs > 1 else None
        run = self.run(name)
        failure = train(self.project, run, config, stop, threads=threads, give_up=give_up)
        self._require_folder()
        return failure

    def _require_folder(self) -> None:
        (self.folder / "study.json").stat()

    def ended(self, names: Iterable[str]) -> list[str]:
        """Those of these runs that have an outcome."""
        return [name for name in names if (self.folder / name / "outcome.json").exists()]

    def write_plan(self, runs: Mapping[str, Settings]) -> dict[str, Path]:
        """Write study.json and the config of each run. Returns the configs by the runs' names.

        Raises:
            CommandError: the folder has another study, or the study has no run `only`.
        """
        if self.only and self.only not in runs:
            hint = nearest(self.only, runs, f"expected one of {', '.join(runs)}")
            raise CommandError(f"--run {self.only}: the study has no such run; {hint}")
        self.begin(runs)
        return {name: self.write_config(name, settings) for name, settings in runs.items()}

    def enqueue(self, runs: Mapping[str, Settings]) -> int:
        """Let a cluster train the runs that haven't ended yet. Returns the exit code.

        Raises:
            CommandError: see `write_plan`; or all have ended.
        """
        assert self.queue is not None
        self.write_plan(runs)
        ended = self.ended(runs)
        if len(ended) == len(runs):
            raise CommandError(
                f"{self.folder}: every run has ended. The same command without --on writes the "
                "results"
            )
        return self.queue(self, [name for name in runs if name not in ended])

    def train_all(
        self,
        runs: Mapping[str, Settings],
        console: Console,
        read: Callable[[str], Result],
        folds: Mapping[str, str] | None = None,
    ) -> tuple[dict[str, Result], dict[str, str]]:
        """Write study.json, and train the runs that haven't ended yet.

        Args:
            runs: their settings by their names.
            console: where progress is shown.
            read: returns the result of a run that has ended, by its name.
            folds: see `require_one_dataset`.

        Returns:
            The results and the failures by the names of the runs.

        Raises:
            CommandError: the runs have different data; found as soon as the second one has ended.
            Stopped: by a signal; the runs have saved their state.
        """
        configs = self.write_plan(runs)
        results: dict[str, Result] = {}
        failures: dict[str, str] = {}

        def record(name: str, failure: str = "") -> str:
            try:
                if failure:
                    raise CommandError(failure)
                results[name] = read(name)
            except CommandError as error:
                failures[name] = str(error)
                return f"{name}: failed: {error}"
            return f"{name}: {results[name]}"

        ended = self.ended(runs)
        self.require_one_dataset(ended, folds)
        for name in ended:
            record(name)
        progress = StudyProgress(console, len(runs), len(ended))
        with progress.bar, stop_on_signal() as stop, ThreadPoolExecutor(self.jobs) as pool:
            futures = {
                pool.submit(self.train, name, configs[name], stop): name
                for name in ([self.only] if self.only else runs)
                if name not in ended
            }
            try:
                for done, future in enumerate(as_completed(futures), len(ended) + 1):
                    progress.run_ended(record(futures[future], future.result()), done)
                    self.require_one_dataset([*results, *failures], folds)
            except BaseException:
                stop.reason = stop.reason or "an error"  # the other runs save their state
                raise
        num_ended = len(self.ended(runs))
        if self.only and num_ended < len(runs):
            raise Incomplete(
                f"{num_ended} of {len(runs)} runs have ended; the last one writes the results",
                exit_code=1 if self.only in failures else 0,
            )
        return results, failures

    def finish(
        self,
        problems: str,
        summary: str,
        parts: Iterable[str],
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        next_step: str = "",
    ) -> int:
        """Write table.md and report.html, and print the summary.

        Args:
            problems: why the study has failed; empty if it has passed.
            summary: the result in a sentence if it has passed.
            parts: HTML, shown before the table.
            header: of the table.
            rows: of the table.
            next_step: the next command, if the study has passed.

        Returns:
            The exit code.
        """
        summary = problems or summary
        lines = [header, ["---"] * len(header), *rows]
        markdown = ""
        for line in lines:
            cells = [printable(cell).replace("|", "\\|").replace("\n", "\\n") for cell in line]
            markdown += f"| {' | '.join(cells)} |\n"
        table_path, report_path = self.folder / "table.md", self.folder / "report.html"
        write_file(table_path, f"{summary}\n\n{markdown}".encode())
        parts = [*parts, "<h2>All results</h2>", table(rows, header)]
        write_page(report_path, f"{self.kind.title()}: {self.folder.name}", summary, parts)
        print(printable(f"{'Failed' if problems else 'Passed'}: {summary}"))
        print(printable(f"Results: {report_path}, {table_path}"))
        if next_step and not problems:
            print(printable(f"Next: {next_step}"))
        return 1 if problems else 0


Queue = Callable[[Study, list[str]], int]
"""Gives the runs with these names to a cluster; none if they aren't known before. An exit code."""


def open_study(
    kind: str,
    table: type[TableType],
    file: Path,
    project: Project,
    name: str,
    jobs: int,
    only: str = "",
    queue: Queue | None = None,
) -> tuple[Study, TableType]:
    """Read the study in a config file, and its own table.

    Args:
        kind: scale, tune or ablate: the name of the table.
        table: the model of the table.
        file: the config.
        project: whose runs are trained.
        name: folder in runs/; empty for the file's name.
        jobs: number of runs that train at the same time.
        only: name of a run, if no other is trained here.
        queue: gives the runs to a cluster.

    Raises:
        CommandError: the file can't be read, lacks the table, or the project refuses its settings.
    """
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    if kind not in settings:
        others = [other for other in KINDS if other in settings]
        hint = f"; it is for: ml-architect {others[0]} {file}" if others else ""
        raise CommandError(f"{file}: expected a table [{kind}]{hint}")
    given = settings.pop(kind)
    if not isinstance(given, dict):
        raise CommandError(f"{kind} = {given!r}: expected a table")
    try:
        plan = table.model_validate(given)
    except ValidationError as error:
        raise CommandError(format_errors(kind, error)) from None
    name = name or file.stem
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise CommandError(f"{name!r} can't be a study's folder. Name one: --study NAME")
    try:
        config = project.resolve(settings)
    except CommandError as error:
        raise CommandError(f"{file}: {error}") from None

    checkpoint = config.get("checkpoint")
    checkpoint = cast("Settings", checkpoint) if isinstance(checkpoint, dict) else {}
    metric = plan.metric or checkpoint.get("metric", "validation/loss")
    mode = plan.mode or checkpoint.get("mode", "min")
    if mode not in ("min", "max"):
        raise CommandError(f"{file}: checkpoint.mode = {mode!r}: expected min or max")
    if kind != "scale" and checkpoint.get("metric", metric) != metric:
        raise CommandError(
            f"{kind}.metric = {metric!r}: expected {checkpoint['metric']!r}, by which the project "
            "selects checkpoints"
        )
    study = Study(
        kind=kind,
        project=project,
        folder=project.root / RUNS / name,
        settings=settings,
        config=config,
        metric=metric,
        mode=mode,
        jobs=jobs,
        only=only,
        queue=queue,
    )
    return study, plan


def format_errors(path: str, error: ValidationError) -> str:
    """Name, value and expectation of each problem of a table, one per line."""
    lines: list[str] = []
    for problem in error.errors(include_url=False):
        name = ".".join([path, *map(str, problem["loc"])])
        given = "" if problem["type"] == "missing" else f" = {problem['input']!r}"
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name}{given}: {message}")
    return "\n".join(lines)


def merge(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> Settings:
    """Replace some settings, table by table."""
    merged = dict(settings)
    for name, value in changes.items():
        below = merged.get(name)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[name] = merge(cast("Settings", below), cast("Settings", value))
        else:
            merged[name] = value
    return merged


def nest(values: Mapping[str, Any]) -> Settings:
    """Turn settings by their full names into tables."""
    nested: Settings = {}
    for path, value in values.items():
        for name in reversed(path.split(".")):
            value = {name: value}
        nested = merge(nested, value)
    return nested


def folder_names(path: str, names: Iterable[str]) -> dict[str, str]:
    """Make a folder name of each name in a config file.

    Raises:
        CommandError: a folder name would be empty or not unique.
    """
    folders: dict[str, str] = {}
    for name in names:
        folder = re.sub(r"[^\w.]+", "-", name).strip("-.")[:80].lower()
        if not folder or folder in folders.values():
            raise CommandError(f"{path}: {name!r}: doesn't give a unique folder name")
        folders[name] = folder
    return folders
