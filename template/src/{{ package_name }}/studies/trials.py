# The template's: updates improve this file and keep your edits.
"""The trials of `tune`: kept by Optuna in a file or a database, trained as ordinary runs.

Any number of processes may work on one study. Each holds a lock on the trial that it looks after,
which the system releases however the process ends; a trial that nobody looks after is continued
from its own checkpoints by whoever comes first. A sampler is made anew for each trial, from the
seed and the trial's number, so a study with one process follows from its seed and its history.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import optuna
from filelock import BaseFileLock, FileLock, Timeout
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from ..config import Config, flat, from_dict, merge, to_dict
from ..data.loader import derive_seed
from ..errors import NAME, ProjectError, RunError, without_passwords
from .plan import Options, TunePlan, nested
from .runs import Child, Outcome, View, open_run

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=ExperimentalWarning)  # of the sampler, in Optuna 4
ORPHANED = timedelta(minutes=1)  # after which a trial that bears no name has nobody


def open_study(folder: Path, url: str, config: Config) -> tuple[optuna.Study, BaseStorage]:
    """The study of that folder, created unless it is there.

    Args:
        folder: of the study.
        url: of a database, such as `postgresql+psycopg://me@host/trials`; empty for a file.
        config: says in which direction the metric improves.

    Raises:
        RunError: the database can't be used. The message has no password in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with study_lock(folder):  # two processes may not create the same tables
        storage = _database(url) if url else _journal(folder / "journal.log")
        study = optuna.create_study(
            storage=storage,
            study_name=f"{NAME}/{folder.name}" if url else folder.name,
            direction="minimize" if config.checkpoint.best_is == "lowest" else "maximize",
            # By the median of earlier trials at the same step: nothing to set, and sound from a
            # handful of trials on, where Hyperband divides its budget among brackets of dozens.
            pruner=MedianPruner(n_startup_trials=5),
            load_if_exists=True,
        )
        if not (folder / "id").exists():
            (folder / "id").write_text(uuid4().hex, encoding="utf-8")
    return study, storage


def study_lock(folder: Path) -> BaseFileLock:
    """What a process holds while it looks at a study and decides."""
    return FileLock(folder / ".study.lock")


def _journal(path: Path) -> BaseStorage:
    lock = JournalFileOpenLock(str(path))
    if path.exists() and lock.acquire():  # a crash of the machine may have torn the last line
        content = path.read_bytes()
        if not content.endswith(b"\n"):
            os.truncate(path, content.rfind(b"\n") + 1)
        lock.release()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _database(url: str) -> BaseStorage:
    with reachable(url, ValueError, RuntimeError):  # of an address that is none, of other tables
        try:
            return RDBStorage(url)
        except ImportError as error:
            raise RunError(
                f"--storage {without_passwords(url)}: {error.__cause__ or error}. Install the "
                "driver that it names; postgresql+psycopg://… goes with pip install psycopg"
            ) from None


@contextmanager
def reachable(url: str, *others: type[Exception]) -> Generator[None]:
    """Say in a line what is wrong with a database; a driver may repeat the address or its password.

    Args:
        url: of the database; empty where there is none.
        others: errors that are to blame on it, too.

    Raises:
        RunError: the address is none, or nothing answers there, or the tables aren't Optuna's.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, *others) as error:
        if not url:
            raise
        reason = str(getattr(error.__cause__ or error, "orig", None) or error)
        password = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
        reason = reason.replace(url, without_passwords(url)).replace(password or "\0", "***")
        said = " ".join(without_passwords(reason).split())
        raise RunError(f"--storage {without_passwords(url)}: {said}") from None


def require_same(study: optuna.Study, plan: TunePlan, base: Config, data: str) -> None:
    """Refuse to mix trials of different settings, spaces or data in one study.

    Raises:
        RunError: naming each difference.
    """
    now = {**flat(to_dict(base)), "data": data}
    now |= {f"tune.space.{name}": str(each) for name, each in plan.space.items()}
    before = study.user_attrs.get("settings")
    if before is None:
        study.set_user_attr("settings", now)
        return
    lines = [
        f"  {name}: was {before.get(name, 'not there')!r}, now {now.get(name, 'not there')!r}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if lines:
        raise RunError(
            f"the study {study.study_name} was begun otherwise:\n" + "\n".join(lines) + "\n"
            "Restore that, or start another study with --study NAME"
        )


class TrialJob:
    """A trial that this process looks after, and the run that it trains."""

    def __init__(
        self, trial: Trial, child: Child, config: Config, reported: int | None, claim: BaseFileLock
    ) -> None:
        self.trial, self.child = trial, child
        self._metric, self._steps = config.checkpoint.metric, config.training.max_steps
        self._reported, self._claim = reported or 0, claim
        self._pruned = reported is not None and self._falls_behind()
        self._told = False

    def poll(self) -> bool:
        """See `Job`. Reports each value in its turn, so that a slow look decides as a fast one."""
        over = self.child.poll()
        for step, metrics in self.child.new_metrics():
            if step > self._reported and self._metric in metrics and not self._pruned:
                self.trial.report(metrics[self._metric], step)
                self._reported = step
                self._pruned = self._falls_behind()
        if self._pruned and not over and not self._told:
            self.child.stop()
            self._told = True
        return over

    def _falls_behind(self) -> bool:
        """Whether it is to be broken off. Not at its last step: nothing would be saved by that."""
        return self._reported < self._steps and self.trial.should_prune()

    def tell(self, study: optuna.Study) -> str:
        """Put down how it ended; gives that in words."""
        number, run = self.trial.number, self.child.run
        if self._pruned:
            study.tell(number, state=TrialState.PRUNED)
            said = f"pruned at step {self._reported}"
        elif self.child.failure:
            self.trial.set_user_attr("failure", self.child.failure)
            study.tell(number, state=TrialState.FAIL)
            said = f"FAILED, {self.child.failure}"
        else:
            found = Outcome.of(run)
            study.tell(number, found.value)
            said = f"{self._metric} {found.value:.4g} in {found.seconds:.1f} s"
        self._claim.release()
        return f"{run.folder.name}: {said}"


class Trials:
    """Hands out the trials of a study that this process is to look after."""

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        plan: TunePlan,
        base: Config,
        folder: Path,
        processes: int,
    ) -> None:
        self._study, self._storage, self._plan, self._base = study, storage, plan, base
        self._folder, self._processes = folder, processes
        self._id = (folder / "id").read_text(encoding="utf-8")
        self.elsewhere = 0
        """Trials that a process with another disk looks after."""

    def jobs(self, view: View) -> Iterator[TrialJob | None]:
        """Every trial that nobody looks after, then new ones; None while others are busy."""
        while True:
            with study_lock(self._folder):
                started = [
                    each
                    for each in self._study.get_trials(deepcopy=False)
                    if each.state != TrialState.WAITING
                ]
                running = [each for each in started if each.state == TrialState.RUNNING]
                ours = [each for each in running if self._is_ours(each)]
                trial = next(filter(None, map(self._adopted, ours)), None)
                if trial is None and len(started) < self._plan.trials:
                    trial = self._begun(len(started))
            if trial is not None:
                if job := self._job(*trial, view):
                    yield job
            elif ours:
                yield None
            else:
                self.elsewhere = len(running)
                return

    def _is_ours(self, trial: FrozenTrial) -> bool:
        """Whether its run lies in this folder. A crash may have left it without saying."""
        begun = trial.datetime_start or datetime.now()
        folder = trial.user_attrs.get("folder")
        return folder == self._id or (folder is None and datetime.now() - begun > ORPHANED)

    def _claim(self, number: int) -> BaseFileLock:
        return FileLock(self._folder / f".{_name(number)}.lock", timeout=0)

    def _adopted(self, frozen: FrozenTrial) -> tuple[Trial, int | None, BaseFileLock] | None:
        """A trial whose process has gone; None where one looks after it."""
        claim = self._claim(frozen.number)
        try:
            claim.acquire()
        except Timeout:
            return None
        study = self._storage.get_study_id_from_name(self._study.study_name)
        found = self._storage.get_trial_id_from_study_id_trial_number(study, frozen.number)
        self._study.sampler = self._sampler(frozen.number)
        return Trial(self._study, found), frozen.last_step, claim

    def _begun(self, number: int) -> tuple[Trial, int | None, BaseFileLock]:
        self._study.sampler = self._sampler(number)
        trial = self._study.ask()
        trial.set_user_attr("folder", self._id)
        claim = self._claim(trial.number)
        claim.acquire()
        return trial, None, claim

    def _sampler(self, number: int) -> TPESampler:
        """By the seed and the trial's number; trials that are running count as bad ones."""
        seed = derive_seed(self._base.seed, "trial", number) % 2**32
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)

    def _job(
        self, trial: Trial, reported: int | None, claim: BaseFileLock, view: View
    ) -> TrialJob | None:
        """The trial with its run; None where its values don't go together."""
        values: dict[str, Any] = {}
        for name, each in self._plan.space.items():
            if isinstance(each, Options):
                values[name] = trial.suggest_categorical(name, each.values)
            elif each.whole:
                low, high, step = int(each.low), int(each.high), int(each.step or 1)
                values[name] = trial.suggest_int(name, low, high, step=step, log=each.log)
            else:
                values[name] = trial.suggest_float(
                    name, each.low, each.high, step=each.step, log=each.log
                )
        try:
            config = from_dict(merge(to_dict(self._base), nested(values)))
            run = open_run(self._folder, _name(trial.number), config)
        except ProjectError as error:
            trial.set_user_attr("failure", str(error))
            self._study.tell(trial.number, state=TrialState.FAIL)
            claim.release()
            view.say(f"{_name(trial.number)}: FAILED, {error}")
            return None
        child = Child(run, self._processes)
        return TrialJob(trial, child, config, reported, claim)


def _name(number: int) -> str:
    """Of a trial's run."""
    return f"trial-{number:04d}"
