"""The commands for runs, studies and reports. Their dependencies are imported when they are run."""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

EXTRA = {"numpy", "optuna", "scipy", "matplotlib", "polars", "tomli_w", "sqlalchemy"}


def add_commands(commands: Any) -> None:
    """Add the parsers of these commands to argparse's subparsers."""
    help_texts = {
        "scale": "train on more and more data, and fit a power law to the loss",
        "tune": "search for better settings with Optuna",
        "ablate": "compare changes with a baseline over several seeds",
    }
    for kind, text in help_texts.items():
        study = commands.add_parser(kind, help=text)
        study.add_argument("config", metavar="CONFIG", type=Path, help=f"with a table [{kind}]")
        study.add_argument("--study", metavar="NAME", default="", help="folder in runs/")
        study.add_argument("--command", metavar="COMMAND", help="command of the project")
        study.add_argument("--jobs", metavar="N", type=int, default=1, help="runs at the same time")
        study.add_argument("--dry-run", action="store_true", help="check the plan, train nothing")
        study.set_defaults(run=_study, kind=kind)
        if kind == "tune":
            text = "shared database, such as postgresql+psycopg://user@host/name"
            study.add_argument("--storage", metavar="URL", default="", help=text)

    runs = commands.add_parser("runs", help="list the runs, or compare some of them")
    runs.add_argument("runs", metavar="RUN", type=Path, nargs="*")
    runs.set_defaults(run=_runs)
    plot = commands.add_parser("plot", help="draw the learning curves of runs")
    plot.add_argument("runs", metavar="RUN", type=Path, nargs="+")
    plot.add_argument("--output", metavar="FILE", type=Path, help="by default runs/curves.png")
    plot.set_defaults(run=_plot)
    report = commands.add_parser("report", help="analyse a run's predictions, or the data")
    report.add_argument("subject", metavar="RUN", help="a run, or the word: data")
    report.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", help="of the cached data")
    text = "metadata column by which metrics are sliced; repeatable"
    report.add_argument("--slice-by", metavar="COLUMN", action="append", default=[], help=text)
    report.add_argument("--output", metavar="FILE", type=Path, help="HTML file")
    report.set_defaults(run=_report)
    _add_review(commands)


def _add_review(commands: Any) -> None:
    formats = ("terminal", "markdown", "json", "sarif", "html")
    text = "read any Python ML project, and say what to change; nothing of it is run"
    review = commands.add_parser("review", help=text)
    review.add_argument("path", metavar="PATH", type=Path, nargs="?", default=Path())
    stages = ("exploration", "prototype", "production")
    review.add_argument("--stage", choices=stages, help="how mature the project is")
    review.add_argument("--select", metavar="IDS", default="", help="such as ML101,ML3")
    review.add_argument("--ignore", metavar="IDS", default="", help="such as ML307")
    review.add_argument("--top", metavar="N", type=int, help="show the N most important only")
    review.add_argument("--format", choices=formats, default="terminal")
    review.add_argument("--output", metavar="FILE", type=Path, help="by default the terminal")
    text = "findings that are accepted for now"
    review.add_argument("--baseline", metavar="FILE", type=Path, help=text)
    text = "accept all present findings"
    review.add_argument("--write-baseline", action="store_true", help=text)
    text = "also train it, if ml-architect made it: repeats, resumes, memory, types"
    review.add_argument("--run", dest="trains", action="store_true", help=text)
    review.set_defaults(run=_review)


@contextmanager
def no_garbage_collection() -> Generator[None]:
    """Collect no garbage in commands of a few seconds: a tenth of `new`, a quarter of `review`."""
    atexit.register(gc.freeze)  # or Python would collect it when it exits
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _extra(command: str) -> Generator[None]:
    """Name the extra that a command needs if it isn't installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        raise CommandError(
            f"{command} needs the package {error.name}: pip install 'ml-architect[studies]'"
        ) from None


def _console() -> Console:
    """Prints to standard output, with escapes for what its encoding lacks."""
    from rich.console import Console

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console()


def _study(options: argparse.Namespace) -> int:
    if options.jobs < 1:
        raise CommandError(f"--jobs {options.jobs}: expected at least 1")
    with _extra(options.kind):
        from .studies.project import STORAGE_VARIABLE, find_project
        from .studies.study import open_study

        project, console = find_project(options.command), _console()
        arguments = (options.config, project, options.study, options.jobs)
        if options.kind == "scale":
            from .studies.scale import ScaleTable, scale

            study, table = open_study("scale", ScaleTable, *arguments)
            return scale(study, table, console, dry_run=options.dry_run)
        if options.kind == "ablate":
            from .studies.ablate import AblateTable, ablate

            study, table = open_study("ablate", AblateTable, *arguments)
            return ablate(study, table, console, dry_run=options.dry_run)
        from .studies.database import require_no_password
        from .studies.tune import TuneTable, tune

        require_no_password(options.storage)
        url = options.storage or os.environ.get(STORAGE_VARIABLE, "")
        study, table = open_study("tune", TuneTable, *arguments)
        return tune(study, table, url, console, dry_run=options.dry_run)


def _runs(options: argparse.Namespace) -> int:
    from .runs.table import compare_runs, list_runs

    if options.runs:
        compare_runs(options.runs, _console())
    else:
        list_runs(_console())
    return 0


def _plot(options: argparse.Namespace) -> int:
    with _extra("plot"):
        from .runs.plot import plot_runs

        _console()
        plot_runs(options.runs, options.output)
    return 0


def _report(options: argparse.Namespace) -> int:
    from .runs.run import find_root, open_run

    root, console = find_root(), _console()
    with _extra("report"):
        if options.subject == "data":
            from .reports.data_report import report_data

            if options.slice_by:
                raise CommandError("--slice-by: is for the report of a run")
            report_data(root, options.folder, options.output, console)
            return 0
        from .reports.run_report import report_run

        if options.folder is not None:
            raise CommandError(
                f"{options.folder}: expected one run; a folder goes with: report data"
            )
        report_run(open_run(options.subject, root), options.slice_by, options.output, console)
    return 0


@no_garbage_collection()
def _review(options: argparse.Namespace) -> int:
    with _extra("review --run"):
        from .review.review import Options, review

        given = Options(
            path=options.path,
            stage=options.stage,
            select=_words(options.select),
            ignore=_words(options.ignore),
            top=options.top,
            format=options.format,
            output=options.output,
            baseline=options.baseline,
            writes_baseline=options.write_baseline,
            runs=options.trains,
        )
        return review(given, _console())


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
