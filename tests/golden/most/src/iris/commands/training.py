# The template's: updates improve this file and keep your edits.
"""Steps 4 and 7: prove the model on a few batches; train it; measure what came out."""

from __future__ import annotations

import errno
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from ..errors import NAME, Interrupted, RunError, TrainingError
from .base import Step
from .ledger import Ledger

if TYPE_CHECKING:
    from ..training.run import Run

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""What can befall a write to a file that is open; such an error doesn't name the file."""

MODEL = ("config.py", "data", "features", "models", "training", "eval")
"""The code that decides what comes out of training."""


@dataclass(frozen=True, kw_only=True)
class Overfit(Step):
    """Step 4. Learn a few batches by heart, and nothing from shuffled labels."""

    number = 4
    usual = "overfit --config configs/overfit.toml"
    code = (*MODEL, "studies/overfit.py")

    def __call__(self) -> int:
        """See `Command`."""
        from ..data.cache import digest
        from ..studies.overfit import overfit, require_enough
        from ..training.loop import records, require_trainable
        from ..training.run import Run

        config = self.settings
        training, held_out = records(config, "train"), records(config, "validation")
        require_trainable(config, training)
        require_enough(config, training)
        name, data = "overfit-debug" if self.debug else "overfit", digest(training.folder)
        run = Run.create(f"{name}-few", config, data, scratch=True)
        shuffled = Run.create(f"{name}-shuffled", config, data, scratch=True)
        try:
            checks = overfit(config, run, shuffled, training, held_out, Console())
        except Interrupted:
            raise Interrupted("stopped; the study is short: run it again") from None
        print(*checks, sep="\n")
        failed = [check.name for check in checks if not check.passed]
        said = f"failed are {', '.join(failed)}." if failed else f"all {len(checks)} checks."
        return self.conclude(not failed, said, where=f"{run.folder}, {shuffled.folder}", data=data)


@dataclass(frozen=True, kw_only=True)
class Train(Step):
    """Step 7. Train; `--resume RUN` continues a run, `--from-run RUN` makes it again."""

    number = 7
    usual = "train --config configs/full.toml"
    code = MODEL

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
    profile: FlagCreatePairsOff[bool] = False
    """Train some steps under PyTorch's profiler, in a run that is scratch."""

    def __call__(self) -> int:
        """See `Command`."""
        from torch.autograd import set_detect_anomaly

        from ..data.cache import digest
        from ..training.loop import few, records, require_trainable, train
        from ..training.profiling import profiled
        from ..training.run import RUNS

        config = self.settings
        training, validation = records(config, "train"), records(config, "validation")
        if self.debug:
            validation = few(validation, config)
        require_trainable(config, training)
        data = digest(training.folder)
        run, continued = self._run(data)
        proper = not (self.debug or self.profile) and run.folder.parent == RUNS
        if proper:
            self._warn(data)
        with run.locked(), profiled(run.folder if self.profile else None) as after_step:
            if continued:
                run.record_start(config, data)
            try:
                with set_detect_anomaly(self.debug):
                    state = train(
                        config, run, training, validation, Console(), after_step=after_step
                    )
            except RuntimeError as error:
                if not self.debug or "Backward" not in str(error):
                    raise
                raise TrainingError(f"{error} Above is where its forward part stands.") from None
            except OSError as error:
                if error.errno not in DISK:
                    raise
                raise TrainingError(
                    f"couldn't write to {run.folder}: {error.strerror}. Its checkpoints are whole; "
                    f"make room, then: {NAME} train --resume {run.folder}"
                ) from error
        best = f"{config.checkpoint.metric} {state.best_value:.4f}"
        said = f"{state.step} steps; the best, at step {state.best_step}: {best}"
        evaluate = f"evaluate {run.folder}"
        return self.conclude(True, said, where=run.folder, data=data, then=evaluate, noted=proper)

    def _warn(self, data: str) -> None:
        """Say which earlier steps haven't passed for what is about to be trained."""
        doubtful: list[str] = []
        for standing in Ledger().standings():
            kind, step = standing.command, f"{standing.command.number} {standing.name}"
            if kind.number in (1, self.number):
                continue
            if not standing.passed:
                doubtful.append(step)
            elif standing.entry["data"] != data:
                doubtful.append(f"{step} (on other data)")
        if doubtful:
            print(f"Not passed for what is trained now: {', '.join(doubtful)}. See: {NAME} status")

    def _run(self, data: str) -> tuple[Run, bool]:
        """The run to train, and whether it is one that goes on."""
        from ..training.run import RUNS, Run

        scratch = self.debug or self.profile
        special = "debug" if self.debug else "profile" if self.profile else ""
        name = special or (self.config.stem if self.config else "default")
        if self.from_run is not None:
            name = f"{self.from_run.name}-{special or 'again'}"
        name = self.run_name or name
        if self.resume and (self.run_name or scratch or self.from_run or self.or_resume):
            raise RunError(
                "--resume: a run goes on as it began, under its own name; "
                "without --run-name, --debug, --profile, --from-run, --or-resume"
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

    number = 7
    usual = "evaluate runs/full"
    code = MODEL

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Folder of the run, before all options; its own config counts."""
    slice_by: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = ()
    """A fact about the records by which to part the split; several times for several."""

    def __call__(self) -> int:
        """See `Command`."""
        from ..data.cache import digest
        from ..eval.evaluate import predict
        from ..eval.report import write_report
        from ..eval.slices import facts_of
        from ..training.checkpoint import CheckpointStore
        from ..training.device import Device
        from ..training.loop import build_network, few, records
        from ..training.monitor import read_metrics
        from ..training.retention import Strategy
        from ..training.run import RUNS, Run

        config, run = self.settings, Run.open(self.run)
        checkpoints = CheckpointStore(run.checkpoints, Strategy(config.checkpoint))
        step = checkpoints.best()
        for damaged in sorted(checkpoints.damaged):
            path = checkpoints.path(damaged)
            print(f"{path} is damaged; evaluating another checkpoint", file=sys.stderr)
        if step is None:
            raise RunError(f"no checkpoint yet; first: {NAME} train --resume {run.folder}")
        training, test = records(config, "train"), records(config, "test")
        data = digest(test.folder)
        run.require_data(data)
        facts_of(test, self.slice_by)  # a misspelt name is said before the work
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
            provenance=run.read_provenance(),
            slice_by=self.slice_by,
        )
        print(about)
        for name, text in said.items():
            print(f"{name}: {text}")
        first = next(f"{name} {text}" for name, text in said.items())
        noted = run.folder.parent == RUNS and not run.read_provenance()["scratch"]
        return self.conclude(
            True, f"{first}; now look at its mistakes", where=run.report, data=data, noted=noted
        )
