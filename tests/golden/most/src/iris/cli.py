# The template's: updates improve this file and keep your edits.
"""The command line: one command a step, in the order of the work.

Whatever needs torch is imported inside the command that needs it, so that `--help` and a misspelt
setting don't wait for it.
"""

from __future__ import annotations

import errno
import logging
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tyro.conf import FlagCreatePairsOff, OmitSubcommandPrefixes, Positional, arg, subcommand

from .config import Config, from_dict, merge, read, to_dict
from .errors import NAME, Interrupted, ProjectError, RunError, TrainingError

if TYPE_CHECKING:
    from .training.run import Run

DEBUG: dict[str, Any] = {
    "training": {"max_steps": 2, "warmup_steps": 0, "log_every": 1, "evaluate_every": 1},
    "overfit": {"loss_threshold": 1e9},  # two steps can't learn anything
}
"""What `--debug` lays over the config: two batches, everything said."""


REPORT = Path("runs/data.html")
PICTURE = Path("runs/features.png")

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What can befall a write to a file that is open; such an error doesn't name the file."""


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """What every command takes. Calling it runs it and gives the exit code."""

    debug: FlagCreatePairsOff[bool] = False
    """Everything said, and two batches at most, trained and evaluated, in a run that is scratch."""

    @abstractmethod
    def __call__(self) -> int:
        """Gives 0 if the step passed, 1 if it failed."""


@dataclass(frozen=True, kw_only=True)
class Step(Command):
    """A command that goes by the settings."""

    config: Annotated[Path | None, arg(metavar="FILE")] = None
    """TOML file with the settings that differ from the defaults."""
    settings: Annotated[Config, arg(name="")] = field(default_factory=Config)


@dataclass(frozen=True, kw_only=True)
class Validate(Step):
    """Step 2. Check every record against the schema, and the splits against each other."""

    report: FlagCreatePairsOff[bool] = False
    """Write a page with every problem and pictures of the distributions, too."""

    def __call__(self) -> int:
        """See `Command`."""
        from .data import cache
        from .protocols import SPLITS

        config = self.settings.data
        findings, classes = cache.validate(config), cache.schema(config).classes
        table = Table("", *SPLITS, box=None)
        table.add_row("records", *(str(findings.sizes[split]) for split in SPLITS))
        for label, name in enumerate(classes[:20]):  # more would fill a terminal
            counts = (str(findings.labels[split, label]) for split in SPLITS)
            table.add_row(f"class {escape(name)}", *counts)
        Console().print(table)
        for kind, count in Counter(each.kind for each in findings.remarks).items():
            these = [str(each) for each in findings.remarks if each.kind == kind]
            more = f"\n  and {count - 5} more, see --report" if count > 5 else ""
            print(f"Worth a look, {kind}:", *these[:5], sep="\n  ", end=f"{more}\n")
        if self.report:
            from .data.report import write_report

            REPORT.parent.mkdir(parents=True, exist_ok=True)
            write_report(REPORT, findings, classes)
            print(f"The page, with the distributions: {REPORT}")
        findings.raise_problems()
        print(f"Passed: {findings.sizes.total()} records fit the schema, and no split leaks.")
        print(f"Prepared records: {cache.prepare(config)}")
        print(f"Next: {NAME} features")
        return 0


@dataclass(frozen=True, kw_only=True)
class Features(Step):
    """Step 3. Hold each transform to its word, on a sample, and draw what it does."""

    def __call__(self) -> int:
        """See `Command`."""
        from .features.check import check
        from .features.picture import picture
        from .training.loop import records

        checked = check(self.settings, records(self.settings, "train"))
        print(*checked.promises, sep="\n")
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        picture(checked).savefig(PICTURE, dpi=120)
        print(f"{len(checked.raw)} records before and after: {PICTURE}")
        if not checked.passed:
            print("Failed: mend the transform in features/transforms.py, or what KEEPS says of it.")
            return 1
        print("Passed: every transform keeps its word. Now look at the picture.")
        print(f"Next: {NAME} overfit --config configs/overfit.toml")
        return 0


@dataclass(frozen=True, kw_only=True)
class Overfit(Step):
    """Step 4. Learn a few batches by heart, and nothing from shuffled labels."""

    def __call__(self) -> int:
        """See `Command`."""
        from .data.cache import digest
        from .studies.overfit import overfit, require_enough
        from .training.loop import records, require_trainable
        from .training.run import Run

        config = self.settings
        training, held_out = records(config, "train"), records(config, "validation")
        require_trainable(config, training)
        require_enough(config, training)
        name, data = "overfit-debug" if self.debug else "overfit", digest(training.folder)
        run = Run.create(f"{name}-few", config, data, scratch=True)
        shuffled = Run.create(f"{name}-shuffled", config, data, scratch=True)
        try:
            verdict = overfit(config, run, shuffled, training, held_out, Console())
        except Interrupted:
            raise Interrupted("stopped; the study is short: run it again") from None
        print(f"Loss on {config.overfit.batches} batches: {verdict.loss:.4f}", end="")
        print(f" (to pass: at most {verdict.loss_threshold:g})")
        print(f"Skill on held-out records after shuffled labels: {verdict.skill:.3f}", end="")
        print(f" of 1 (to pass: at most {verdict.skill_threshold:g})")
        print(f"Metrics: {run.metrics} and {shuffled.metrics}")
        if verdict.passed:
            print(f"Passed. Next: {NAME} train --config configs/small.toml")
            return 0
        if not verdict.learns:
            print("Failed: the model can't learn a few batches. Look at the network and the loss.")
        if not verdict.is_blind:
            print("Failed: better than chance after shuffled labels. The truth reaches the model")
            print("by another way: look at what source.py and transforms.py hand on.")
        return 1


@dataclass(frozen=True, kw_only=True)
class Train(Step):
    """Steps 5 to 7. Train; `--resume RUN` continues a run, `--from-run RUN` makes it again."""

    run_name: Annotated[str, arg(metavar="NAME")] = ""
    """Name of the folder in runs/; by default the config file's."""
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    """Folder of the run to continue, with its own config."""
    or_resume: FlagCreatePairsOff[bool] = False
    """Continue the run if it is there already: for a scheduler that starts a command again."""
    from_run: Annotated[Path | None, arg(metavar="RUN")] = None
    """Folder of a run to make again, with its config, under another name."""
    allow_changes: FlagCreatePairsOff[bool] = False
    """Continue although settings or data differ from those that the run began with."""

    def __call__(self) -> int:
        """See `Command`."""
        from .data.cache import digest
        from .training.loop import few, records, require_trainable, train

        config = self.settings
        training, validation = records(config, "train"), records(config, "validation")
        if self.debug:
            validation = few(validation, config)
        require_trainable(config, training)
        data = digest(training.folder)
        run, continued = self._run(data)
        with run.locked():
            if continued:
                run.record_start(config, data)
            try:
                state = train(config, run, training, validation, Console())
            except OSError as error:
                if error.errno not in DISK:
                    raise
                raise TrainingError(
                    f"couldn't write to {run.folder}: {error.strerror}. Its checkpoints are whole; "
                    f"make room, then: {NAME} train --resume {run.folder}"
                ) from error
        best = f"{config.checkpoint.metric} {state.best_value:.4f}"
        print(f"Done: {state.step} steps; the best, at step {state.best_step}: {best}")
        print(f"The run: {run.folder}")
        print(f"Next: {NAME} evaluate {run.folder}")
        return 0

    def _run(self, data: str) -> tuple[Run, bool]:
        """The run to train, and whether it is one that goes on."""
        from .training.run import RUNS, Run

        name = "debug" if self.debug else self.config.stem if self.config else "default"
        if self.from_run is not None:
            name = f"{self.from_run.name}-{'debug' if self.debug else 'again'}"
        name, scratch = self.run_name or name, self.debug and not self.run_name
        if self.resume and (self.run_name or self.debug or self.from_run or self.or_resume):
            raise RunError(
                "--resume: a run goes on as it began, under its own name; "
                "without --run-name, --debug, --from-run, --or-resume"
            )
        if self.from_run and self.config:
            raise RunError("--from-run: takes that run's config; say what differs with options")
        if self.resume or (self.or_resume and (RUNS / name).exists()):
            run = Run.open(self.resume or RUNS / name)
            if not self.allow_changes:
                run.require_same(self.settings, data)
            original = run
        elif self.from_run is None:
            return Run.create(name, self.settings, data, scratch=scratch), False
        else:
            original = Run.open(self.from_run)
            if not self.allow_changes:
                original.require_data(data)
            run = Run.create(name, self.settings, data, scratch=scratch, repeats=original)
        for line in original.differences(self.settings, data):
            print(f"Not as it was when {original.folder} began: {line}")
        return run, run is original


@dataclass(frozen=True, kw_only=True)
class Evaluate(Step):
    """Step 7. Measure a run's best checkpoint on the test split and write its report."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of the run, before all options; its own config counts."""

    def __call__(self) -> int:
        """See `Command`."""
        from .data.cache import digest
        from .eval.evaluate import predict
        from .eval.report import write_report
        from .training.checkpoint import CheckpointStore
        from .training.device import Device
        from .training.loop import build_network, few, records
        from .training.monitor import read_metrics
        from .training.retention import Strategy
        from .training.run import Run

        config, run = self.settings, Run.open(self.run)
        checkpoints = CheckpointStore(run.checkpoints, Strategy(config.checkpoint))
        step = checkpoints.best()
        for damaged in sorted(checkpoints.damaged):
            path = checkpoints.path(damaged)
            print(f"{path} is damaged; evaluating another checkpoint", file=sys.stderr)
        if step is None:
            raise RunError(f"no checkpoint yet; first: {NAME} train --resume {run.folder}")
        training, test = records(config, "train"), records(config, "test")
        run.require_data(digest(test.folder))
        if self.debug:
            test = few(test, config)
        model = build_network(config, test)
        checkpoints.load_model(step, model)
        model.to(Device.choose(config.training).name)
        found = predict(model, test, config.training.batch_size)
        about = f"Checkpoint of step {step}, on the test split."
        said = write_report(
            run.report,
            title=run.folder.name,
            about=about,
            history=read_metrics(run.metrics),
            found=found,
            model=model,
            training=training,
            dataset=test,
        )
        print(about)
        for name, text in {**found.summary(), **said}.items():
            print(f"{name}: {text}")
        print(f"The report, with pictures: {run.report}")
        print(f"Next: look at its mistakes; then {NAME} train --config configs/full.toml")
        return 0


@dataclass(frozen=True, kw_only=True)
class Plot(Command):
    """Draw the metrics of one run, or of several in the same panels."""

    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN…")]]
    """Folders of the runs."""
    output: Annotated[Path, arg(metavar="FILE")] = Path("runs/curves.png")
    """The picture: .png, .svg or .pdf."""

    def __call__(self) -> int:
        """See `Command`."""
        from .eval.curves import draw_curves
        from .training.monitor import read_metrics
        from .training.run import Run

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


COMMANDS: dict[str, type[Command]] = {
    "validate": Validate,
    "features": Features,
    "overfit": Overfit,
    "train": Train,
    "evaluate": Evaluate,
    "plot": Plot,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Gives the exit code: 0 passed, 1 failed, 2 wrong input, 75 try again."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command = _parse(argv)
        logging.basicConfig(format="%(name)s: %(message)s")
        logging.getLogger(__package__).setLevel(logging.DEBUG if command.debug else logging.INFO)
        return command()
    except ProjectError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:  # a folder without permission, a full disk
        if error.filename is None and error.errno not in DISK:
            raise
        print(f"{error.filename or 'writing'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _parse(argv: list[str]) -> Command:
    """Read the config first: it gives the command line its defaults."""
    name = argv[0] if argv else ""
    goes_by_settings = issubclass(COMMANDS.get(name, Step), Step)
    settings = from_dict(_stated(name, argv) if goes_by_settings else {})
    kinds: Any = None
    for title, kind in COMMANDS.items():
        values: dict[str, Any] = {"run": tyro.MISSING} if kind is Evaluate else {}
        if kind is Plot:
            values["runs"] = tyro.MISSING
        if title == name and issubclass(kind, Step):
            values["settings"] = settings
        offered = Annotated[kind, subcommand(title, default=kind(**values))]
        kinds = offered if kinds is None else kinds | offered
    return tyro.cli(kinds, args=argv, prog=NAME, config=(OmitSubcommandPrefixes,))


def _stated(name: str, argv: list[str]) -> dict[str, Any]:
    """The settings that the config file states, or the run that is continued or evaluated."""
    stated: dict[str, Any] = {}
    run = _value("--resume", argv)
    if name == "evaluate" and not {"-h", "--help"} & set(argv):
        if len(argv) < 2 or argv[1].startswith("-"):
            raise RunError(f"evaluate: expected a run first: {NAME} evaluate RUN [options]")
        run = argv[1]
    if file := _value("--config", argv):
        stated = read(Path(file))
    elif run:
        from .training.run import Run

        stated = _known(read(Run.open(Path(run)).config), to_dict(Config()))
    elif original := _value("--from-run", argv):
        from .training.run import Run

        recorded = Run.open(Path(original)).read_provenance()["config"]
        stated = _known(recorded, to_dict(Config()))
    return merge(stated, DEBUG) if "--debug" in argv and not run else stated


def _known(stated: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """An earlier run's settings without those that the project has lost since."""
    return {
        name: _known(value, settings[name]) if isinstance(value, dict) else value
        for name, value in stated.items()
        if name in settings
    }


def _value(flag: str, argv: list[str]) -> str | None:
    for at, word in enumerate(argv):
        if word == flag and at + 1 < len(argv):
            return argv[at + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return None


if __name__ == "__main__":
    sys.exit(main())
