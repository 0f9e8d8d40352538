"""Choose settings by trying them, the next ones near those that did well.

Optuna keeps the trials in a database and suggests their settings by the tree-structured Parzen
estimator of Bergstra et al. 2011 (https://arxiv.org/abs/1907.10902); a trial that falls behind the
median of earlier ones is pruned.

Any number of these commands may share a study. Each records heartbeats of the trials that it
trains. A trial whose command was killed has none any more; Optuna then queues its settings again
under a new number, and whoever takes that trial continues the run of the first: see `run_name`.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import PositiveInt
from rich.console import Console

from ..runs.run import NewMetrics, flatten
from .database import (
    GRACE_SECONDS,
    HEARTBEAT_SECONDS,
    one_line_errors,
    open_database,
    requeue,
)
from .runner import Stopped, StopRequest, StudyProgress, stop_on_signal
from .space import Space, parse_space
from .study import Study, StudyTable, merge, nest
from .tune_report import FAILURE, SETTINGS, STATES, best_trials, describe, write_results

# Attributes of a trial in the database, besides those that tune_report.py reads.
SURPLUS = "surplus"  # begun by another command at the same moment as the last one
HAS_HEARTBEAT = "has_heartbeat"  # its number, since a trial that is queued again inherits this


class TuneTable(StudyTable):
    """What [tune] contains."""

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
        The exit code: 0 if a trial was trained to its end.
    """
    space = parse_space(study, plan.space)
    if dry_run:
        lines = [f"{name}: {space[name]}" for name in space]
        print(f"{plan.trials} trials over", *lines, sep="\n")
        return 0
    study.begin({"trials": plan.trials, "space": {name: str(space[name]) for name in space}})
    with one_line_errors(url):
        storage, trials = open_database(study, url)
        _enqueue_present_settings(study, trials, space)
        done = finished_trials(trials)
        progress = StudyProgress(console, plan.trials, len(done))
        with progress.bar, stop_on_signal() as stop:
            tuning = _Tuning(study, plan.trials, storage, trials, space, stop, progress)
            tuning.run()
        done = finished_trials(trials)
        study.require_one_dataset(run_name(trial) for trial in done)
        write_results(study, trials, done, space)
    best = study.folder.relative_to(study.project.root) / "best.toml"
    train_best = f"train --config {best} --run-name {study.folder.name}-best"
    next_step = " ".join([*study.project.command, train_best])
    return study.conclude(bool(best_trials(study, done)), describe(study, done, space), next_step)


def original_number(trial: FrozenTrial) -> int:
    """Number of the trial that this one continues, or its own."""
    number = requeue.retried_trial_number(trial)
    return trial.number if number is None else number


def run_name(trial: FrozenTrial) -> str:
    """The run of a trial: the same for all trials that continue it."""
    return f"trial-{original_number(trial):04d}"


def finished_trials(trials: optuna.Study) -> list[FrozenTrial]:
    """Trials that have a result and those that failed for good, one per run."""
    by_run: dict[str, FrozenTrial] = {}
    for trial in trials.get_trials(deepcopy=False):
        has_result = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        if (has_result or FAILURE in trial.user_attrs) and SURPLUS not in trial.user_attrs:
            by_run.setdefault(run_name(trial), trial)
    return [by_run[name] for name in sorted(by_run)]


def _enqueue_present_settings(study: Study, trials: optuna.Study, space: Space) -> None:
    """Let the first trial have the settings of the config, if the space contains them."""
    present = flatten(study.config)
    outside = [name for name in space if not space[name].contains(present[name])]
    if outside:
        print(f"The present settings aren't tried: {', '.join(outside)} is outside of the space.")
    elif not trials.get_trials(deepcopy=False):
        trials.enqueue_trial({name: space[name].encode(present[name]) for name in space})


@dataclass(frozen=True)
class _Tuning:
    """What this command contributes to a study that others may work on, too."""

    study: Study
    total: int
    storage: RDBStorage
    trials: optuna.Study
    space: Space
    stop: StopRequest
    progress: StudyProgress
    lock: Lock = field(default_factory=Lock)  # held by the thread that takes a trial

    def run(self) -> None:
        """Train until the study has all its trials."""
        with ThreadPoolExecutor(self.study.jobs) as pool:
            futures = [pool.submit(self._work) for _ in range(self.study.jobs)]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self.stop.signals.append("an error")  # the other runs save their state
                raise

    def _work(self) -> None:
        """Train one trial after the other."""
        while len(finished_trials(self.trials)) < self.total:
            self.stop.check()
            with self.lock:
                trial = self._take()
            if trial is None:
                time.sleep(1)  # other threads or commands train the last ones
            else:
                self._train(trial)

    def _take(self) -> Trial | None:
        """A trial that was interrupted, or a new one; None if there are enough."""
        self._queue_interrupted()
        trials = self.trials.get_trials(deepcopy=False)
        is_waiting = any(trial.state == TrialState.WAITING for trial in trials)
        if not is_waiting and len(_originals(trials)) >= self.total:
            return None
        # A sampler per trial: what it suggests follows from the seed and the history.
        seed = self.study.seed + len(trials)
        self.trials.sampler = TPESampler(seed=seed, multivariate=True, constant_liar=True)
        trial = self.trials.ask()
        self._start_heartbeat(trial.number)

        trials = self.trials.get_trials(deepcopy=False)
        original = original_number(trials[trial.number])
        if sum(number < original for number in _originals(trials)) < self.total:
            return trial
        trial.set_user_attr(SURPLUS, True)
        self.trials.tell(trial, state=TrialState.FAIL)
        return None

    def _queue_interrupted(self) -> None:
        """Queue again the trials that a command began and didn't finish."""
        fail_stale_trials(self.trials)
        trials = self.trials.get_trials(deepcopy=False)
        queued = {number for trial in trials for number in requeue.retry_history(trial)}
        for trial in trials:
            is_final = FAILURE in trial.user_attrs or SURPLUS in trial.user_attrs
            if trial.state == TrialState.FAIL and not is_final and trial.number not in queued:
                requeue(self.trials, trial)

            # A trial that was killed before its first heartbeat would never become stale.
            has_heartbeat = trial.user_attrs.get(HAS_HEARTBEAT) == trial.number
            age = datetime.now() - (trial.datetime_start or datetime.now())
            is_lost = age.total_seconds() > GRACE_SECONDS and not has_heartbeat
            if trial.state == TrialState.RUNNING and is_lost:
                self._start_heartbeat(trial.number)

    def _start_heartbeat(self, number: int) -> None:
        trial_id = self._record_heartbeat(number)
        self.storage.set_trial_user_attr(trial_id, HAS_HEARTBEAT, number)

    def _record_heartbeat(self, number: int) -> int:
        study_id = self.storage.get_study_id_from_name(self.trials.study_name)
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
        self.storage.record_heartbeat(trial_id)
        return trial_id

    def _train(self, trial: Trial) -> None:
        """Train the run of a trial, and record its result."""
        frozen = self.trials.get_trials(deepcopy=False)[trial.number]
        values = {name: entry.suggest(trial, name) for name, entry in self.space.items()}
        trial.set_user_attr(SETTINGS, values)
        name = run_name(frozen)
        config = self.study.write_config(name, merge(self.study.settings, nest(values)))
        read_new_metrics = NewMetrics(self.study.run(name))
        last_step = max(frozen.intermediate_values, default=-1)
        next_heartbeat = 0.0
        is_pruned = False

        def watch() -> bool:
            nonlocal last_step, next_heartbeat, is_pruned
            if time.monotonic() >= next_heartbeat:
                next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
                self._record_heartbeat(trial.number)
            for step, metrics in read_new_metrics():
                if self.study.metric in metrics and step > last_step:
                    last_step = step
                    trial.report(metrics[self.study.metric], step)
                    is_pruned = is_pruned or trial.should_prune()
            return is_pruned

        try:
            failure = self.study.train(name, config, self.stop, give_up=watch)
        except Stopped:
            self._tell(trial, state=TrialState.FAIL)  # without a reason, it is queued again
            raise
        value = self.study.best_value(name)
        if value is not None:
            self._tell(trial, value)
        elif is_pruned:
            self._tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr(FAILURE, failure or "its outcome has no value")
            self._tell(trial, state=TrialState.FAIL)
        self._report(name)

    def _tell(self, trial: Trial, value: float | None = None, **state: TrialState) -> None:
        """Record the result, unless the trial became stale and another one continues it."""
        self.trials.tell(trial, value, skip_if_finished=True, **state)

    def _report(self, name: str) -> None:
        """Say what came of a trial."""
        done = finished_trials(self.trials)
        best = best_trials(self.study, done)
        for trial in done:
            if run_name(trial) == name:
                reason = trial.user_attrs.get(FAILURE)
                result = reason or (trial.value is not None and f"{trial.value:.4g}")
                line = ": ".join(filter(None, (name, STATES[trial.state], result or "")))
                self.progress.run_ended(line, f"best {best[0].value:.4g}" if best else "")


def _originals(trials: list[FrozenTrial]) -> list[int]:
    """Numbers of the trials that count: those that continue others aside."""
    return [
        trial.number
        for trial in trials
        if original_number(trial) == trial.number and SURPLUS not in trial.user_attrs
    ]
