# The template's: updates improve this file and keep your edits.
"""The command line: one command a step, in the order of the work.

Whatever needs torch is imported inside the command that needs it, so that `--help` and a misspelt
setting don't wait for it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import FlagCreatePairsOff, OmitSubcommandPrefixes, Positional, arg, subcommand

from .config import Config, from_dict, merge, read
from .errors import Interrupted, ProjectError, RunError

if TYPE_CHECKING:
    from .data.dataset import Dataset
    from .protocols import Split

NAME = __package__.replace("_", "-") if __package__ else "project"

DEBUG: dict[str, Any] = {
    "training": {"max_steps": 2, "warmup_steps": 0, "log_every": 1, "evaluate_every": 1},
    "checkpoint": {"every": 1},
    "overfit": {"loss_threshold": 1e9},  # two steps can't learn anything
}
"""What `--debug` lays over the config: two batches, everything said."""

Settings = Annotated[Config, arg(name="")]
File = Annotated[Path | None, arg(metavar="FILE")]
Flag = FlagCreatePairsOff[bool]


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Step 2. Check every record against the schema, and the splits against each other."""

    config: File = None
    """TOML file with the settings that differ from the defaults."""
    debug: Flag = False
    """Everything said."""
    settings: Settings = field(default_factory=Config)


@dataclass(frozen=True, kw_only=True)
class Overfit:
    """Step 4. Learn a few batches by heart, and nothing from shuffled labels."""

    config: File = None
    """TOML file with the settings that differ from the defaults."""
    debug: Flag = False
    """Two batches, everything said; the run is scratch."""
    settings: Settings = field(default_factory=Config)


@dataclass(frozen=True, kw_only=True)
class Train:
    """Step 7. Train for good; `--resume RUN` continues a run that was stopped."""

    config: File = None
    """TOML file with the settings that differ from the defaults."""
    debug: Flag = False
    """Two batches, everything said; the run is scratch."""
    run_name: Annotated[str, arg(metavar="NAME")] = ""
    """Name of the folder in runs/; by default the config file's."""
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    """Folder of the run to continue, with its own config."""
    allow_changes: Flag = False
    """Continue although settings or data differ from those that the run began with."""
    settings: Settings = field(default_factory=Config)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Step 7. Measure a run's best checkpoint on the test split and write its report."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of the run."""
    config: File = None
    """TOML file to use in place of the run's own config."""
    debug: Flag = False
    """Everything said."""
    settings: Settings = field(default_factory=Config)


COMMANDS = {"validate": Validate, "overfit": Overfit, "train": Train, "evaluate": Evaluate}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Gives the exit code: 0 passed, 1 failed, 2 wrong input, 75 try again."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command = _parse(argv)
        logging.basicConfig(format="%(name)s: %(message)s")
        logging.getLogger(__package__).setLevel(logging.DEBUG if command.debug else logging.INFO)
        match command:
            case Validate():
                return _validate(command)
            case Overfit():
                return _overfit(command)
            case Train():
                return _train(command)
            case Evaluate():
                return _evaluate(command)
    except ProjectError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:  # a folder without permission, a full disk
        if error.filename is None:
            raise
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped before training began; nothing to resume", file=sys.stderr)
        return 130


def _parse(argv: list[str]) -> Validate | Overfit | Train | Evaluate:
    """Read the config first: it gives the command line its defaults."""
    name = argv[0] if argv else ""
    settings = from_dict(_stated(name, argv))
    kinds: Any = None
    for title, kind in COMMANDS.items():
        values: dict[str, Any] = {"settings": settings} if title == name else {}
        if kind is Evaluate:
            values["run"] = tyro.MISSING
        kind = Annotated[kind, subcommand(title, default=kind(**values))]
        kinds = kind if kinds is None else kinds | kind
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

        stated = read(Run.open(Path(run)).config)
    return merge(stated, DEBUG) if "--debug" in argv and not run else stated


def _value(flag: str, argv: list[str]) -> str | None:
    for at, word in enumerate(argv):
        if word == flag and at + 1 < len(argv):
            return argv[at + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return None


def _validate(command: Validate) -> int:
    from .data import dataset
    from .protocols import SPLITS

    config = command.settings.data
    findings = dataset.validate(config)
    console = Console()
    table = Table("split", "records", *dataset.source.SCHEMA.classes, box=None)
    for split in SPLITS:
        labels = range(len(dataset.source.SCHEMA.classes))
        counts = (str(findings.labels[split, label]) for label in labels)
        table.add_row(split, str(findings.sizes[split]), *counts)
    console.print(table)
    findings.raise_problems()
    folder = dataset.prepare(config)
    print(f"Passed: {findings.sizes.total()} records fit the schema, and no split leaks.")
    print(f"Prepared records: {folder}")
    print(f"Next: {NAME} overfit --config configs/overfit.toml")
    return 0


def _overfit(command: Overfit) -> int:
    from .studies.overfit import overfit
    from .training.loop import require_trainable
    from .training.run import Run

    config = command.settings
    training, held_out = records(config, "train"), records(config, "validation")
    require_trainable(config, training)
    name, data = "overfit-debug" if command.debug else "overfit", training.folder.name
    run = Run.create(f"{name}-few", config, data, scratch=True)
    shuffled = Run.create(f"{name}-shuffled", config, data, scratch=True)
    try:
        verdict = overfit(config, run, shuffled, training, held_out, Console())
    except Interrupted:
        raise Interrupted("stopped; the study is short, so run it again from the start") from None
    print(f"Loss on {config.overfit.batches} batches: {verdict.loss:.4f}", end="")
    print(f" (to pass: at most {verdict.loss_threshold:g})")
    print(f"Probability of the truth after shuffled labels: {verdict.belief:.3f}", end="")
    print(f" (to pass: at most {verdict.belief_threshold:.3f})")
    print(f"Metrics: {run.metrics} and {shuffled.metrics}")
    if verdict.passed:
        print(f"Passed. Next: {NAME} train --config configs/small.toml")
        return 0
    if not verdict.learns:
        print("Failed: the model can't learn a few batches. Look at the network and the loss.")
    if not verdict.is_blind:
        print("Failed: better than chance after shuffled labels. The truth reaches the model by")
        print("another way than the labels: look at what source.py and transforms.py hand on.")
    return 1


def _train(command: Train) -> int:
    from .training.loop import require_trainable, train
    from .training.run import Run

    config = command.settings
    training, validation = records(config, "train"), records(config, "validation")
    require_trainable(config, training)
    data = training.folder.name
    if command.resume is not None:
        run = Run.open(command.resume)
        if not command.allow_changes:
            run.require_same(config, data)
    else:
        name = "debug" if command.debug else command.config.stem if command.config else "default"
        scratch = command.debug and not command.run_name
        run = Run.create(command.run_name or name, config, data, scratch=scratch)
    with run.locked():
        if command.allow_changes:
            run.record_change(config, data)
        state = train(config, run, training, validation, Console())
    best = f"{config.checkpoint.metric} {state.best_value:.4f}"
    print(f"Done: {state.step} steps; the best, at step {state.best_step}: {best}")
    print(f"The run: {run.folder}")
    print(f"Next: {NAME} evaluate {run.folder}")
    return 0


def _evaluate(command: Evaluate) -> int:
    from functools import partial

    from .eval.evaluate import predict
    from .eval.report import write_report
    from .training.checkpoint import CheckpointStore
    from .training.device import Device
    from .training.loop import build_network
    from .training.monitor import read_metrics
    from .training.retention import retained
    from .training.run import Run

    config, run = command.settings, Run.open(command.run)
    checkpoints = CheckpointStore(run.checkpoints, partial(retained, config=config.checkpoint))
    step = checkpoints.best()
    for path in checkpoints.damaged:
        print(f"{path} is damaged; evaluating another checkpoint", file=sys.stderr)
    if step is None:
        raise RunError(f"{run.folder} has no checkpoint yet: {NAME} train --resume {run.folder}")
    test = records(config, "test")
    run.require_data(test.folder.name)
    model = build_network(config, test)
    checkpoints.load_model(step, model)
    model.to(Device.choose(config.training).name)
    found = predict(model, test, config.training.batch_size)
    low, high = found.accuracy_interval()
    numbers = {
        "test accuracy": f"{found.accuracy:.2%}  ({low:.2%} to {high:.2%} with 95 % confidence)",
        "test loss": f"{found.loss:.4f}",
        "records": f"{len(test)}",
    }
    about = f"Checkpoint of step {step}, on the test split."
    write_report(
        run.report,
        title=run.folder.name,
        about=about,
        numbers=numbers,
        history=read_metrics(run.metrics),
        found=found,
        dataset=test,
    )
    print(about)
    for name, text in numbers.items():
        print(f"{name}: {text}")
    print(f"The report, with pictures: {run.report}")
    return 0


def records(config: Config, split: Split) -> Dataset:
    """The records of one split, with everything that is done to them."""
    from functools import partial

    from .data.dataset import Dataset, prepare
    from .features import transforms

    return Dataset(
        folder=prepare(config.data),
        split=split,
        prepare=transforms.prepare,
        augment=partial(transforms.augment, config=config.features) if split == "train" else None,
        seed=config.seed,
    )


if __name__ == "__main__":
    sys.exit(main())
