# The template's: updates improve this file and keep your edits.
"""The command line. Torch is imported by the commands that need it, so that --help is fast."""

import json
import math
import mmap
import sys
import tomllib
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import tomli_w

from .config import Config, descriptions, flatten, from_dict, merge, read_toml, to_dict
from .errors import PROGRAM, ConfigError, RunError, did_you_mean, printable, report_error, terminal

DEBUG = {"training": {"max_steps": 2, "warmup_steps": 0, "log_every": 1, "evaluate_every": 1}}


class Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, without the usage."""
        raise ConfigError(f"{self.prog}: {message}")


@terminal()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 passed, 1 failed, 2 wrong input, 3 the run is in use by another process,
        75 stopped and resumable.
    """
    try:
        args = parse(list(sys.argv[1:] if arguments is None else arguments))
        try:
            config = load_config(args)
        except (RecursionError, ValueError) as error:  # integers of thousands of digits
            raise ConfigError(f"the settings can't be read: {error}") from None
        # Without this much memory, importing torch aborts, and importing SciPy may never end.
        mmap.mmap(-1, 2**30).close()
        return COMMANDS[args.command](args, config)
    except (Exception, KeyboardInterrupt) as error:
        return report_error(error)


def parse(arguments: list[str]) -> Namespace:
    parser = Parser(prog=PROGRAM, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    defaults = flatten(to_dict(Config()))
    options = {path: f"--{path.replace('_', '-')}" for path in defaults}
    for name, function in COMMANDS.items():
        text = function.__doc__
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        add = command.add_argument
        if name in ("evaluate", "predict"):
            add("run", type=Path, metavar="RUN", help="folder of the run")
        else:
            add("--config", type=Path, metavar="FILE", help="TOML file with settings")
        if name == "predict":
            add("data", type=Path, metavar="DATA", help="file or folder with new data")
            add("--output", type=Path, metavar="FILE", default=Path("predictions.csv"))
        if name == "train":
            add("--run-name", metavar="NAME", help="folder in runs/; default: the config's name")
            add("--resume", type=Path, metavar="RUN", help="continue the run in this folder")
            add("--or-resume", action="store_true", help="continue the run if it exists")
            add("--allow-changes", action="store_true", help="resume with other settings or data")
            add("--dry-run", action="store_true", help="print the config as TOML, train nothing")
            add("--debug", action="store_true", help="two steps with NaN detection, thrown away")
        for path, description in descriptions().items():
            help_text = f"{description} [{defaults[path]}]".replace("%", "%%")
            kind = type(defaults[path]).__name__.upper()
            add(options[path], dest=path, default=SUPPRESS, metavar=kind, help=help_text)
    if sum(word.partition("=")[0] == "--config" for word in arguments) > 1:
        raise ConfigError("--config: given twice; expected one file")
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        option = unknown[0].partition("=")[0]
        near = did_you_mean(option, options.values())
        raise ConfigError(f"{args.command}: unknown option {option}{near}")
    return args


def load_config(args: Namespace) -> Config:
    """The config file, or the config of the run; options override it."""
    from .training.run import Run

    values: dict[str, Any] = {}
    if run := getattr(args, "resume", None) or getattr(args, "run", None):
        values = Run.open(run).read_config()
    elif args.config:
        values = read_toml(args.config)
        for study in {"scale", "tune", "ablate"} & values.keys():
            raise ConfigError(f"{args.config} is for: ml-architect {study} {args.config}")
    if getattr(args, "debug", False):
        values = merge(values, DEBUG)

    if "checkpoint.metric" in args:  # its mode is derived again
        values = merge(values, {"checkpoint": {"mode": ""}})
    for path, default in flatten(to_dict(Config())).items():
        if (text := getattr(args, path, None)) is not None:
            quoted = json.dumps(text)
            try:
                literal = quoted if isinstance(default, str) else text
                values = merge(values, tomllib.loads(f"{path} = {literal}"))
            except tomllib.TOMLDecodeError:  # refused below, with the type that is expected
                values = merge(values, tomllib.loads(f"{path} = {quoted}"))
    return from_dict(values)


def report(passed: bool, summary: str, result: object, next_command: str) -> int:
    """Print the result of a step, where it is and what to run next. Returns the exit code."""
    print(f"{'Passed' if passed else 'Failed'}: {summary}\nResult: {result}")
    if passed:
        print(f"Next: {next_command}")
    return 0 if passed else 1


def report_checks(checks: list[tuple[bool, str]], result: object, next_command: str) -> int:
    print(*(f"{'passed' if passed else 'FAILED'}  {text}" for passed, text in checks), sep="\n")
    failed = sum(not passed for passed, _ in checks)
    summary = f"{failed or len(checks)} of {len(checks)} checks"
    return report(not failed, summary, result, next_command)


def validate(args: Namespace, config: Config) -> int:
    """Step 2: check every example, and the splits for leaks."""
    from .data import cache

    validator = cache.validate(config)
    notes = list(validator.schema.notes)
    if (hidden := len(notes) - 40) > 0:  # of a table with thousands of columns
        notes[30:-10] = [f"    … and {hidden} lines more; schema.json has all of them"]
    print(*notes, sep="\n", end="\n" if notes else "")
    for split, size in validator.sizes.items():
        classes = enumerate(validator.schema.classes if validator.class_counts else ())
        counts = {name: validator.class_counts[split, label] for label, name in classes}
        print(f"{split}: {size} examples", *([counts] if counts else []))
    for warning in validator.warnings:
        print(printable(f"Warning: {warning}"))
    validator.raise_problems()
    summary = f"{validator.sizes.total()} examples fit the schema, and no split leaks"
    return report(True, summary, cache.prepare(config), f"{PROGRAM} features")


def features(args: Namespace, config: Config) -> int:
    """Step 3: check preprocessing and augmentation, and plot them."""
    from .data.cache import load_split
    from .training.checks import check_transforms

    plot = Path("runs/features.png")
    results = check_transforms(config, load_split(config, "train"), plot)
    next_command = f"look at the plot, then: {PROGRAM} overfit --config configs/overfit.toml"
    return report_checks(results, plot, next_command)


def overfit(args: Namespace, config: Config) -> int:
    """Step 4: overfit a few batches, and learn nothing from shuffled targets."""
    from .training import checks

    results = checks.overfit(config, *checks.load_splits(config))
    next_command = f"{PROGRAM} train --config configs/full.toml"
    if Path("configs/scale.toml").exists():
        next_command = "ml-architect scale configs/scale.toml"
    return report_checks(results, "runs/overfit-few", next_command)


def train(args: Namespace, config: Config) -> int:
    """Step 7: train a model, or resume a run."""
    from .training.run import Run, run_folder, stop_on_signal

    if args.resume and (args.run_name or args.or_resume or args.debug):
        raise RunError("--resume: can't be combined with --run-name, --or-resume or --debug")
    name = args.run_name or ("debug" if args.debug else getattr(args.config, "stem", "default"))
    folder = args.resume or run_folder(name)
    run = Run.open(folder) if args.resume or (args.or_resume and folder.exists()) else None
    if run and not args.allow_changes:
        run.require_same(config)
    if args.dry_run:
        print(tomli_w.dumps(to_dict(config)), end="")
        return 0
    if run and args.or_resume and run.outcome_path.exists():  # fast: torch isn't imported yet
        return report(True, "the run has ended", folder, f"{PROGRAM} evaluate {folder}")

    with stop_on_signal() as stop:
        from torch.autograd import set_detect_anomaly

        from .training import checks, device, loop

        with device.process_group(config.training):
            train_set, validation_set = checks.load_splits(config)
            run = resumed = run if device.LEAD else None  # the others write elsewhere
            if run is None:
                try:
                    run = Run.create(name, config, train_set, scratch=args.debug or not device.LEAD)
                except RunError as error:
                    if args.or_resume and folder.exists():
                        error.exit_code = 3  # another process has just started it
                    raise
            elif not args.allow_changes:
                run.require_same(config, train_set.digest)
            with run.locked(), set_detect_anomaly(args.debug):
                if resumed:
                    run.record_resume(config, train_set)
                state = loop.train(config, run, train_set, validation_set, stop)

    value = math.nan if state.best_value is None else state.best_value  # of another metric
    best = f"{config.checkpoint.mode}imum {config.checkpoint.metric} {value:.4f}"
    summary = f"{state.step} steps; {best} at step {state.best_step}"
    if loop.stop_reason(state, config, 0) == "adapt":
        summary = f"fitted at once, so there is nothing to resume; {best}"
    return report(True, summary, run.folder, f"{PROGRAM} evaluate {run.folder}")


def evaluate(args: Namespace, config: Config) -> int:
    """Step 7: evaluate the best checkpoint of a run on the test split."""
    from .data.cache import load_split
    from .eval.evaluate import bootstrap, predict, write_predictions
    from .training.loop import load_best
    from .training.run import Run

    run, test_set = Run.open(args.run), load_split(config, "test")
    run.require_same(config, test_set.digest)
    model, step = load_best(config, run)
    predictions = predict(model, test_set, config.training.batch_size)
    intervals = bootstrap(predictions.metrics, len(predictions))
    metrics = {
        name: {"value": value, "low": intervals[name][0], "high": intervals[name][1]}
        for name, value in predictions.metrics().items()
        if math.isfinite(value)  # one may be undefined for these examples
    }
    run.write("metrics.json", {"step": step, "examples": len(predictions), "metrics": metrics})
    plot_path = write_predictions(run.folder, predictions, test_set)
    print(f"{run.folder}, checkpoint of step {step}:")
    for name, entry in metrics.items():
        print("  {}: {value:.4g} (95 % CI {low:.4g} to {high:.4g})".format(name, **entry))
    summary = f"evaluated on {len(predictions)} test examples"
    next_command = f"look at {run.folder / plot_path}, then: ml-architect report {run.folder}"
    return report(True, summary, run.folder / "metrics.json", next_command)


def predict(args: Namespace, config: Config) -> int:
    """Predict new data with the best checkpoint of a run."""
    from .data.validation import Schema
    from .eval.evaluate import predict_new
    from .training.loop import load_best
    from .training.run import Run

    run = Run.open(args.run)
    model, _ = load_best(config, run)
    predicted, failed = predict_new(model, Schema.load(run.folder), args.data, config, args.output)
    summary = f"{predicted} predicted, {failed} unreadable or invalid"
    return report(not failed, summary, args.output, f"look at {args.output}")


COMMANDS = {run.__name__: run for run in (validate, features, overfit, train, evaluate, predict)}

if __name__ == "__main__":
    sys.exit(main())
