# The template's: updates improve this file and keep your edits.
"""Steps 4 and 7: check the model on a few batches; train it; evaluate the result."""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tomli_w
from rich.console import Console
from tyro.conf import FlagCreatePairsOff, Positional, arg

from ..config import to_dict
from ..errors import NAME, Interrupted, RunError, RunExistsError, TrainingError
from .base import Command, report_result

if TYPE_CHECKING:
    from ..training.run import Run

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What writing to an open file can raise; such an error doesn't name the file."""

SCALE = Path("configs/scale.toml")


@dataclass(frozen=True, kw_only=True)
class Overfit(Command):
    """Step 4. Overfit a few batches, and learn nothing from shuffled labels."""

    def __call__(self) -> int:
        """See `Command`."""
        from ..data.cache import digest
        from ..training.loop import load_split, require_trainable
        from ..training.overfit import overfit, require_enough
        from ..training.run import Run

        config = self.settings
        training, held_out = load_split(config, "train"), load_split(config, "validation")
        require_trainable(config, training)
        require_enough(config, training)
        name, data = "overfit-debug" if self.debug else "overfit", digest(training.folder)
        run = Run.create(f"{name}-few", config, data, scratch=True)
        shuffled = Run.create(f"{name}-shuffled", config, data, scratch=True)
        try:
            checks = overfit(config, run, shuffled, training, held_out, Console())
        except Interrupted:
            raise Interrupted("stopped; it is short, so run it again") from None
        print(*checks, sep="\n")
        failed = [check.name for check in checks if not check.passed]
        summary = f"all {len(checks)} checks" if not failed else ", ".join(failed)
        next_command = f"{NAME} train --config configs/full.toml"
        if SCALE.exists():
            next_command = f"ml-architect scale {SCALE.as_posix()}"
        output = f"{run.folder}, {shuffled.folder}"
        return report_result(not failed, summary, output=output, next_command=next_command)


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Step 7. Train; `--resume RUN` continues a run, `--from-run RUN` repeats it."""

    run_name: Annotated[str | None, arg(metavar="NAME")] = None
    """Name of the folder in runs/, or STUDY/NAME; by default the config file's."""
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    """Folder of the run to continue, with its own config."""
    or_resume: FlagCreatePairsOff[bool] = False
    """Continue the run if it exists, and do nothing if it has ended: for schedulers."""
    from_run: Annotated[Path | None, arg(metavar="RUN")] = None
    """Folder of a run to repeat, with its config, under another name."""
    allow_changes: FlagCreatePairsOff[bool] = False
    """Continue although settings or data differ from those that the run began with."""
    dry_run: FlagCreatePairsOff[bool] = False
    """Print the resolved config as TOML, and train nothing."""
    profile: FlagCreatePairsOff[bool] = False
    """Train some steps under PyTorch's profiler, in a throwaway run."""

    def __call__(self) -> int:
        """See `Command`."""
        from ..training.run import Run, interrupted_by_signals, run_folder

        self._require_consistent()
        config, folder = self.settings, run_folder(self._name())
        if self.dry_run:
            print(tomli_w.dumps(to_dict(config)), end="")
            return 0
        if self.or_resume and folder.exists():
            run = Run.open(folder)
            self._require_same(run)  # without the data, since a run that has ended needs none
            if run.outcome.exists():
                return self._report_ended(run)
        try:
            with interrupted_by_signals():
                return self._train()
        except KeyboardInterrupt:
            message = "stopped before the first step. To start: the same command, with --or-resume"
            raise Interrupted(message) from None

    def _train(self) -> int:
        from torch.autograd import set_detect_anomaly

        from ..data.cache import digest
        from ..training.loop import first_batches, load_split, require_trainable, train
        from ..training.profiling import profiled

        config = self.settings
        training, validation = load_split(config, "train"), load_split(config, "validation")
        if self.debug:
            validation = first_batches(validation, config)
        require_trainable(config, training)
        data = digest(training.folder)
        run, resumed = self._open_run(data)
        with run.locked(), profiled(run.folder if self.profile else None) as after_step:
            if self.or_resume and run.outcome.exists():  # it has ended since
                return self._report_ended(run)
            if resumed:
                run.record_start(config, data)
            try:
                with set_detect_anomaly(self.debug):
                    state = train(
                        config, run, training, validation, Console(), after_step=after_step
                    )
            except RuntimeError as error:
                if not self.debug or "Backward" not in str(error):
                    raise
                raise TrainingError(f"{error} Its forward call is in the traceback above") from None
            except OSError as error:
                if error.errno not in DISK_ERRORS:
                    raise
                raise TrainingError(
                    f"couldn't write to {run.folder}: {error.strerror}. Its checkpoints are intact;"
                    f" make room, then: {NAME} train --resume {run.folder}"
                ) from error
        metric = f"{config.checkpoint.metric} {state.best_value:.4f}"
        summary = f"{state.step} steps; best {metric} at step {state.best_step}"
        next_command = f"{NAME} evaluate {run.folder}"
        return report_result(True, summary, output=run.folder, next_command=next_command)

    def _require_consistent(self) -> None:
        """Refuse options that contradict each other."""
        scratch = self.debug or self.profile
        others = self.run_name is not None or scratch or self.from_run or self.or_resume
        if self.resume and others:
            raise RunError(
                "--resume: a run is continued as it began, under its own name; "
                "without --run-name, --debug, --profile, --from-run, --or-resume"
            )
        if self.from_run and self.config:
            raise RunError("--from-run: takes that run's config; change it with options")

    def _name(self) -> str:
        """The name of the run; of a new one, unless `--or-resume` is given."""
        kind = "debug" if self.debug else "profile" if self.profile else ""
        if self.run_name is not None:
            return self.run_name
        if self.from_run is not None:
            return f"{self.from_run.name}-{kind or 'again'}"
        return kind or (self.config.stem if self.config else "default")

    def _open_run(self, data: str) -> tuple[Run, bool]:
        """The run to train, and whether it is resumed."""
        from ..training.run import RUNS, Run

        name, config = self._name(), self.settings
        original = Run.open(self.from_run) if self.from_run else None
        if original and not self.allow_changes:
            original.require_data(data)
        run = Run.open(self.resume) if self.resume else None
        if run is None:
            scratch = self.debug or self.profile
            try:
                created = Run.create(name, config, data, scratch=scratch, repeats=original)
            except RunExistsError:
                if not self.or_resume:
                    raise
                run = Run.open(RUNS / name)
            else:
                if original:
                    self._print_differences(original, data)
                return created, False
        self._require_same(run, data)
        self._print_differences(run, data)
        return run, True

    def _require_same(self, run: Run, data: str | None = None) -> None:
        if not self.allow_changes:
            run.require_same(self.settings, data)

    def _print_differences(self, run: Run, data: str) -> None:
        for difference in run.differences(self.settings, data):
            print(f"Different from when {run.folder} began: {difference}")

    def _report_ended(self, run: Run) -> int:
        next_command = f"{NAME} evaluate {run.folder}"
        summary = "the run has ended already; nothing to do"
        return report_result(True, summary, output=run.folder, next_command=next_command)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Step 7. Evaluate a run's best checkpoint on the test split, and write its report."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of the run, before all options; its own config is used."""

    def __call__(self) -> int:
        """See `Command`."""
        from ..data.cache import digest
        from ..eval.evaluate import predict
        from ..eval.predictions import write_predictions
        from ..eval.report import write_report
        from ..training.checkpoint import CheckpointStore
        from ..training.device import Device
        from ..training.loop import build_network, first_batches, load_split
        from ..training.monitor import read_metrics
        from ..training.retention import Strategy
        from ..training.run import Run

        config, run = self.settings, Run.open(self.run)
        checkpoints = CheckpointStore(run.checkpoints, Strategy(config.checkpoint))
        step = checkpoints.best()
        for damaged in sorted(checkpoints.damaged):
            path = checkpoints.path(damaged)
            print(f"{path} is corrupt; evaluating another checkpoint", file=sys.stderr)
        if step is None:
            raise RunError(f"no checkpoint yet; first: {NAME} train --resume {run.folder}")

        training, test = load_split(config, "train"), load_split(config, "test")
        run.require_data(digest(test.folder))
        if self.debug:
            test = first_batches(test, config)
        model = build_network(config, test)
        checkpoints.load_model(step, model)
        model.to(Device.choose(config.training).name)
        predictions = predict(model, test, config.training.batch_size)

        write_predictions(run.predictions, predictions, test)
        about = f"Checkpoint of step {step}, on the test split."
        summary = write_report(
            run.report,
            title=run.folder.as_posix(),
            about=about,
            history=read_metrics(run.metrics),
            predictions=predictions,
            model=model,
            training=training,
            dataset=test,
        )
        print(about)
        for name, text in summary.items():
            print(f"{name}: {text}")
        name, text = next(iter(summary.items()))
        return report_result(
            True,
            f"{name} {text}; look at the worst mistakes",
            output=f"{run.report}, {run.predictions}",
            next_command=f"ml-architect report {run.folder}",
        )
