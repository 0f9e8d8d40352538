"""The commands for runs, studies and reports. Their dependencies are imported when they are run."""

from __future__ import annotations

import argparse
import atexit
import gc
import math
import os
import re
import shlex
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import fields, replace
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CommandError, require_memory
from .launch.plan import Constants, Plan, describe

if TYPE_CHECKING:
    from rich.console import Console

    from .studies.study import Queue, Study

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
        study.add_argument("--jobs", metavar="N", type=int, help="runs at the same time")
        study.add_argument("--dry-run", action="store_true", help="check the plan, train nothing")
        study.set_defaults(run=_study, kind=kind, only="", storage="")
        if kind == "tune":
            text = "shared database, such as postgresql+psycopg://user@host/name"
            study.add_argument("--storage", metavar="URL", default="", help=text)
        else:
            text = "train only this run, as the elements of an array do"
            study.add_argument("--run", dest="only", metavar="RUN", default="", help=text)
        study.add_argument("--on", choices=["slurm"], help="train on a cluster, as an array")
        _add_resources(study, "slurm")

    launch = commands.add_parser("launch", help="train a run in several processes, or on a cluster")
    places = launch.add_subparsers(required=True, metavar="COMMAND")
    help_texts = {
        "local": "on this machine, by torchrun",
        "slurm": "write a job that requeues itself until the run has ended",
        "kubernetes": "write a Job with a pod per node",
    }
    for place, text in help_texts.items():
        where = places.add_parser(place, help=text, description=text)
        where.add_argument("arguments", metavar="-- train …", nargs="*", help="of the project")
        where.add_argument("--command", metavar="COMMAND", help="command of the project")
        is_local = place == "local"
        text = "one for each GPU" if is_local else "processes per node, by default one per GPU"
        where.add_argument("--processes", metavar="N", type=_count, required=is_local, help=text)
        if place != "local":
            where.add_argument("--nodes", metavar="N", type=_count, default=1, help="machines")
        _add_resources(where, place)
        where.set_defaults(run=_launch, place=place)
        if place == "slurm":
            where.add_argument("--submit", action="store_true", help="give it to sbatch at once")
        elif place == "kubernetes":
            text = "container with the project and its Python"
            where.add_argument("--image", metavar="IMAGE", required=True, help=text)
            text = "persistent volume claim for runs/, which every pod sees"
            where.add_argument("--claim", metavar="NAME", required=True, help=text)
            text = "the project's folder in the image (default: %(default)s)"
            where.add_argument("--workdir", metavar="FOLDER", default="/work", help=text)

    prepare = commands.add_parser("prepare", help="pack a large text in shards, by many processes")
    prepare.add_argument("config", metavar="CONFIG", type=Path, help="TOML file of the training")
    prepare.add_argument("--shards", metavar="N", type=_count, required=True, help="how many")
    text = "processes at the same time, by default one per core"
    prepare.add_argument("--jobs", metavar="N", type=_count, help=text)
    text = "make only this one, as the elements of an array do"
    prepare.add_argument("--shard", metavar="NUMBER", type=int, help=text)
    prepare.add_argument("--command", metavar="COMMAND", help="command of the project")
    prepare.set_defaults(run=_prepare)

    plan = commands.add_parser("plan", help="what training a large model costs on many GPUs")
    plan.add_argument("--model-parameters", metavar="N", type=_positive, required=True)
    plan.add_argument("--gpus", metavar="N", type=_count, required=True)
    text = "by default 10,000 for each GPU"
    plan.add_argument("--tokens-per-step", metavar="N", type=_positive, help=text)
    for constant in fields(Constants):
        unit = constant.metadata["unit"]
        text = f"{unit} (default: {constant.default:g})".replace("%", "%%")
        name = f"--{constant.name.replace('_', '-')}"
        plan.add_argument(name, metavar="N", type=_positive, default=constant.default, help=text)
    plan.set_defaults(run=_plan)

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
    text = "ids or prefixes, such as ML101,ML3"
    review.add_argument("--select", metavar="IDS", default="", help=text)
    review.add_argument("--ignore", metavar="IDS", default="", help="the same, such as ML307")
    review.add_argument("--top", metavar="N", type=int, help="show the N most important only")
    review.add_argument("--format", choices=formats, default="terminal")
    review.add_argument("--output", metavar="FILE", type=Path, help="by default the terminal")
    text = "findings that are accepted for now"
    review.add_argument("--baseline", metavar="FILE", type=Path, help=text)
    text = "accept all present findings"
    review.add_argument("--write-baseline", action="store_true", help=text)
    text = "also train it, if ml-architect made it: repeats, resumes, memory, types"
    review.add_argument("--run", dest="trains", action="store_true", help=text)
    text = "print the page of a rule; a prefix such as ML1 lists rules"
    review.add_argument("--explain", metavar="ID", help=text)
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


def _add_resources(parser: argparse.ArgumentParser, place: str) -> None:
    """Add the options for what a job gets, which are alike everywhere."""
    text = "seconds for saving before a run is killed (default: %(default)s)"
    parser.add_argument("--grace", metavar="SECONDS", type=_count, default=120, help=text)
    if place == "local":
        return
    parser.add_argument("--gpus", metavar="N", type=_count, default=0, help="per node")
    parser.add_argument("--cpus", metavar="N", type=_count, default=0, help="cores per process")
    if place == "slurm":
        text = "limit of each start, such as 24:00:00; by default the partition's"
        parser.add_argument("--time", metavar="TIME", default="", help=text)
        text = "an option of sbatch, such as --partition=gpu; repeatable"
        parser.add_argument("--sbatch", metavar="OPTION", action="append", default=[], help=text)


def _count(text: str) -> int:
    if not re.fullmatch(r"0*[1-9]\d{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1e30:
        raise argparse.ArgumentTypeError(f"{text}: expected a positive number, such as 8e9")
    return number


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
    if options.jobs is not None and options.jobs < 1:
        raise CommandError(f"--jobs {options.jobs}: expected at least 1")
    for name in ("time", "gpus", "cpus", "sbatch"):
        if getattr(options, name) and not options.on:
            raise CommandError(f"--{name}: is for a cluster: --on slurm")
    if sys.platform == "win32":  # it has no groups of processes to stop
        raise CommandError(f"{options.kind}: studies run on Linux and macOS; on Windows, in WSL")
    require_memory()
    with _extra(options.kind):
        from .studies.project import STORAGE_VARIABLE, find_project
        from .studies.study import open_study

        project, console = find_project(options.command), _console()
        queue = _queue(options) if options.on else None
        arguments = (options.config, project, options.study, options.jobs or 1, options.only, queue)
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


def _queue(options: argparse.Namespace) -> Queue:
    """Write an array for the runs of a study, and submit it."""
    from .launch.job import Resources
    from .launch.slurm import submit, write_array

    resources = Resources(
        gpus=options.gpus,
        cpus=options.cpus,
        grace=options.grace,
        time=options.time,
        sbatch=options.sbatch,
    )

    def queue(study: Study, names: list[str]) -> int:
        command = [sys.executable, "-m", "ml_architect", options.kind]
        command += [str(options.config.resolve()), "--study", study.folder.name]
        command += ["--command", shlex.join(study.project.command)]
        if options.storage:
            command += ["--storage", options.storage]
        path = write_array(study, resources, command, names, options.jobs)
        number = submit(path)
        what = f"{len(names)} runs" if names else f"{options.jobs or 1} elements"
        print(f"Submitted: job {number}, {what}: {path}")
        print(f"Next: squeue --job {number}; the elements' output is in {study.folder / 'logs'}")
        return 0

    return queue


def _launch(options: argparse.Namespace) -> int:
    with _extra("launch"):
        from .launch.job import Resources, plan_job
        from .studies.project import Project, find_project

    project = find_project(options.command)
    if options.place == "local":
        from .launch.local import launch_local

        if not options.arguments:
            raise CommandError(
                "expected the project's arguments after --, such as: -- train --config FILE"
            )
        launch_local(project, options.arguments, options.processes, options.grace)

    resources = Resources(
        nodes=options.nodes,
        gpus=options.gpus,
        processes=options.processes or 0,
        cpus=options.cpus,
        grace=options.grace,
        time=getattr(options, "time", ""),
        sbatch=getattr(options, "sbatch", ()),
    )
    processes = resources.nodes * resources.processes_per_node
    job = plan_job(project, options.arguments, processes)
    if options.place == "slurm":
        from .launch.slurm import submit, write_job

        path = write_job(job, resources)
        print(f"Wrote: {path}")
        if options.submit:
            print(f"Submitted: job {submit(path)}")
        else:
            print(f"Next: sbatch {shlex.quote(str(path))}")
        return 0

    from .launch import kubernetes

    if options.command is None:  # its path in the container is another
        name = Path(project.command[0]).name
        job = replace(job, project=Project(project.root, (name,)))
    path = kubernetes.write_job(job, resources, options.image, options.claim, options.workdir)
    print(f"Wrote: {path}")
    print(f"Next: kubectl apply --filename {shlex.quote(str(path))}")
    return 0


def _prepare(options: argparse.Namespace) -> int:
    with _extra("prepare"):
        from .launch.local import cores
        from .launch.prepare import prepare
        from .studies.project import find_project

    project, jobs = find_project(options.command), options.jobs or cores()
    return prepare(project, options.config, options.shards, jobs, options.shard)


def _plan(options: argparse.Namespace) -> int:
    constants = {field.name: getattr(options, field.name) for field in fields(Constants)}
    plan = Plan(
        model_parameters=options.model_parameters,
        gpus=options.gpus,
        tokens_per_step=options.tokens_per_step or 10_000 * options.gpus,
        constants=Constants(**constants),
    )
    _console()
    print(describe(plan))
    return 0


def _runs(options: argparse.Namespace) -> int:
    from .runs.table import compare_runs, list_runs

    if options.runs:
        compare_runs(options.runs, _console())
    else:
        list_runs(_console())
    return 0


def _plot(options: argparse.Namespace) -> int:
    require_memory()
    with _extra("plot"):
        from .runs.plot import plot_runs

        _console()
        plot_runs(options.runs, options.output)
    return 0


def _report(options: argparse.Namespace) -> int:
    from .runs.run import find_root, open_run

    root, console = find_root(), _console()
    require_memory()
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
    if options.explain is not None:
        from .review.rules import explain

        print(explain(options.explain))
        return 0
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
