"""Search for better settings.

Optuna keeps the trials in a database and suggests their settings by the tree-structured Parzen
estimator of Bergstra et al. 2011 (https://arxiv.org/abs/1907.10902); a trial that falls behind the
median of earlier ones is pruned.

Any number of these commands may work on one study. Each records heartbeats of the trials that it
trains. If a command is killed, the heartbeats of its trials stop; their settings are then requeued
under a new number, and the command that takes that trial continues the run of the first: see
`database.run_name`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock, Thread
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.samplers import BaseSampler, PartialFixedSampler, TPESampler
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import PositiveInt
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from ..errors import CommandError
from ..runs.run import flatten
from .database import (
    GRACE_SECONDS,
    HEARTBEAT_SECONDS,
    one_line_errors,
    open_database,
    original_number,
    parse_url,
    requeue,
    run_name,
)
from .project import Settings
from .runner import Stopped, StopRequest, StudyProgress, stop_on_signal
from .space import Space, parse_space
from .study import Study, StudyTable, merge, nest
from .tune_report import FAILURE, SETTINGS, STATES, best_trials, write_results

HAS_HEARTBEAT = "has_heartbeat"  # attribute of a trial: its number, since requeued ones inherit it
READ_SECONDS = 1.0  # between two reads of the metrics of a run


class TuneTable(StudyTable):
    """The table [tune]."""

    trials: PositiveInt
    space: dict[str, Any]


def tune(study: Study, plan: TuneTable, url: str, console: Console, *, dry_run: bool) -> int:
    """Run the study.

    Args:
        study: whose settings are tuned.
        plan: its table.
        url: of the database, as SQLAlchemy takes it; empty for a file in the study's folder.
        console: where progress is shown.
        dry_run: check everything and train nothing.

    Returns:
        The exit code: 0 if a trial was trained to completion.
    """
    space = parse_space(study, plan.space)
    described = {name: str(entry) for name, entry in space.items()}
    if dry_run:
        lines = [f"{name}: {text}" for name, text in described.items()]
        print(f"{plan.trials} trials over", *lines, sep="\n")
        return 0
    present = flatten(study.config)
    outside = [name for name in space if not space[name].contains(present[name])]
    if outside:
        names = ", ".join(outside)
        print(f"The current settings aren't tried: {names} is outside the search space.")
    database = parse_url(study, url)
    study.begin({"trials": plan.trials, "space": described})
    if study.queue:
        return study.queue(study, [])  # the elements take trials from the database
    with one_line_errors(database, ImportError, RuntimeError):
        storage, trials = open_database(study, database, described)
    with one_line_errors(database), stop_on_signal() as stop:
        progress = StudyProgress(console, plan.trials, len(finished_trials(trials)))
        with progress.bar:
            _Tuning(study, plan.trials, storage, trials, space, stop, progress).run()
        done = finished_trials(trials)
        study.require_one_dataset(map(run_name, done))
        return write_results(study, trials, done, space)


def finished_trials(trials: optuna.Study) -> list[FrozenTrial]:
    """Trials that have a result and those that failed for good, one per run."""
    by_run: dict[str, FrozenTrial] = {}
    for trial in trials.get_trials(deepcopy=False):
        has_failed = trial.state == TrialState.FAIL and FAILURE in trial.user_attrs
        if has_failed or trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            by_run.setdefault(run_name(trial), trial)
    return [by_run[name] for name in sorted(by_run)]


@dataclass(frozen=True)
class _Tuning:
    """The part of this command in a study that others may work on, too."""

    study: Study
    total: int
    storage: RDBStorage
    trials: optuna.Study
    space: Space
    stop: StopRequest
    progress: StudyProgress
    lock: Lock = field(default_factory=Lock)  # held by the thread that takes a trial
    held: set[int] = field(default_factory=set[int])  # numbers of the trials that are trained here

    def run(self) -> None:
        """Train until the study has all its trials."""
        is_over = Event()
        Thread(target=self._beat, args=(is_over,), daemon=True).start()
        with ThreadPoolExecutor(self.study.jobs) as pool:
            futures = [pool.submit(self._work) for _ in range(self.study.jobs)]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self.stop.reason = self.stop.reason or "an error"  # the other runs save
                raise
            finally:
                is_over.set()

    def _beat(self, is_over: Event) -> None:
        """Record the heartbeats of all trials that are trained here."""
        while not is_over.wait(HEARTBEAT_SECONDS):
            for number in list(self.held):
                with suppress(SQLAlchemyError, StorageInternalError):
                    self.storage.record_heartbeat(self._trial_id(number))

    def _trial_id(self, number: int) -> int:
        study_id = self.storage.get_study_id_from_name(self.trials.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study_id, number)

    def _work(self) -> None:
        """Train one trial after the other."""
        while len(finished_trials(self.trials)) < self.total:
            self.stop.check()
            with self.lock:
                taken = self._take()
            if taken is None:
                time.sleep(1)  # other threads or commands train the last ones
                continue
            trial, values = taken
            try:
                self._train(trial, values)
            except UpdateFinishedTrialError:
                pass  # it seemed to be stale, and another one continues its run
            finally:
                self.held.discard(trial.number)

    def _take(self) -> tuple[Trial, Settings] | None:
        """A trial that was interrupted or a new one, with its settings; None if all are taken."""
        wanted = self._queue_interrupted()
        waiting = [
            original_number(trial)
            for trial in self.trials.get_trials(deepcopy=False)
            if trial.state == TrialState.WAITING
        ]
        if len(wanted) == self.total and wanted.isdisjoint(waiting):
            return None
        trial = self.trials.ask()
        self.held.add(trial.number)
        self._start_heartbeat(trial.number)

        # Another command may have taken the last one at the same moment.
        trials = self.trials.get_trials(deepcopy=False)
        original = original_number(trials[trial.number])
        if original not in self._wanted(trials):
            self.trials.tell(trial, state=TrialState.FAIL)
            self.held.discard(trial.number)
            return None

        # One sampler per trial, so that commands that start together suggest different settings,
        # which depend only on the seed and the history.
        seed = (self.study.seed + trial.number) % 2**32
        sampler: BaseSampler = TPESampler(seed=seed, multivariate=True, constant_liar=True)
        present = flatten(self.study.config)
        if original == 0 and all(self.space[name].contains(present[name]) for name in self.space):
            fixed = {name: self.space[name].encode(present[name]) for name in self.space}
            sampler = PartialFixedSampler(fixed, sampler)  # the current settings come first
        self.trials.sampler = sampler
        values = {name: entry.suggest(trial, name) for name, entry in self.space.items()}
        trial.set_user_attr(SETTINGS, values)
        return trial, values

    def _wanted(self, trials: list[FrozenTrial]) -> set[int]:
        """Numbers of the first `total` trials, not counting requeued ones."""
        originals = [trial.number for trial in trials if original_number(trial) == trial.number]
        return set(originals[: self.total])

    def _queue_interrupted(self) -> set[int]:
        """Requeue the trials that a command began and didn't finish. Returns those wanted."""
        fail_stale_trials(self.trials)
        trials = self.trials.get_trials(deepcopy=False)
        wanted = self._wanted(trials)
        requeued = {number for trial in trials for number in requeue.retry_history(trial)}
        for trial in trials:
            is_lost = trial.number not in requeued and original_number(trial) in wanted
            if trial.state == TrialState.FAIL and FAILURE not in trial.user_attrs and is_lost:
                requeue(self.trials, trial)

            # A trial that was killed before its first heartbeat would never become stale.
            has_heartbeat = trial.user_attrs.get(HAS_HEARTBEAT) == trial.number
            age = datetime.now() - (trial.datetime_start or datetime.now())
            is_orphan = age.total_seconds() > GRACE_SECONDS and not has_heartbeat
            if trial.state == TrialState.RUNNING and is_orphan:
                self._start_heartbeat(trial.number)
        return wanted

    def _start_heartbeat(self, number: int) -> None:
        trial_id = self._trial_id(number)
        self.storage.record_heartbeat(trial_id)
        with suppress(UpdateFinishedTrialError):
            self.storage.set_trial_user_attr(trial_id, HAS_HEARTBEAT, number)

    def _train(self, trial: Trial, values: Settings) -> None:
        """Train the run of a trial, and record its result."""
        name = run_name(self.trials.get_trials(deepcopy=False)[trial.number])
        config = self.study.write_config(name, merge(self.study.settings, nest(values)))
        is_pruned = self._pruning(trial, name)
        try:
            failure = self.study.train(name, config, self.stop, give_up=is_pruned)
            if not failure:
                self._tell(trial, self.study.read_value(name))
            elif is_pruned():
                self._tell(trial, state=TrialState.PRUNED)
            else:
                raise CommandError(failure)
        except Stopped:
            self._tell(trial, state=TrialState.FAIL)  # without a reason, it is requeued
            raise
        except CommandError as error:
            trial.set_user_attr(FAILURE, str(error))
            self._tell(trial, state=TrialState.FAIL)
        self._report(name)

    def _pruning(self, trial: Trial, name: str) -> Callable[[], bool]:
        """Make a function that reports new metrics and returns whether to prune the trial."""
        path = self.study.folder / name / "metrics.jsonl"
        next_read, size, is_pruned = 0.0, 0, False

        def is_to_be_pruned() -> bool:
            nonlocal next_read, size, is_pruned
            if is_pruned or time.monotonic() < next_read or not path.exists():
                return is_pruned
            next_read, before, size = time.monotonic() + READ_SECONDS, size, path.stat().st_size
            if size == before:
                return False
            reported = self.storage.get_trial(self._trial_id(trial.number)).intermediate_values
            for step, metrics in self.study.run(name).metrics:
                if self.study.metric in metrics and step not in reported and not self.stop.reason:
                    trial.report(metrics[self.study.metric], step)
                    is_pruned = is_pruned or trial.should_prune()
            return is_pruned

        return is_to_be_pruned

    def _tell(self, trial: Trial, value: float | None = None, state: Any = None) -> None:
        """Record the result, unless the trial became stale and another one continues it."""
        self.trials.tell(trial, value, state=state, skip_if_finished=True)

    def _report(self, name: str) -> None:
        """Print the result of a trial."""
        done = finished_trials(self.trials)
        best = best_trials(self.study, done)
        for trial in done:
            if run_name(trial) == name:
                value = "" if trial.value is None else f"{trial.value:.4g}"
                result = trial.user_attrs.get(FAILURE) or value
                line = ": ".join(filter(None, (name, STATES[trial.state], result)))
                text = f"best {best[0].value:.4g}" if best else ""
                self.progress.run_ended(line, len(done), text)
