"""Optuna's storage: SQLite in the study's folder, or a shared database."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from errno import ENOENT
from pathlib import Path
from urllib.parse import quote, quote_plus

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import MedianPruner
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ..errors import CommandError
from .project import STORAGE_VARIABLE
from .study import Study

HEARTBEAT_SECONDS = 2
GRACE_SECONDS = 10  # without a heartbeat, after which a trial is requeued

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
warnings.filterwarnings("ignore", category=ExperimentalWarning)  # heartbeats, multivariate TPE
warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used with")

requeue = RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
"""Named RetryFailedTrialCallback in earlier versions of Optuna."""


def original_number(trial: FrozenTrial) -> int:
    """Number of the trial that this one continues, or its own."""
    number = requeue.retried_trial_number(trial)
    return trial.number if number is None else number


def run_name(trial: FrozenTrial) -> str:
    """The run of a trial: the same for all trials that continue it."""
    return f"trial-{original_number(trial):04d}"


def open_database(
    study: Study, url: URL, space: Mapping[str, str]
) -> tuple[RDBStorage, optuna.Study]:
    """The trials of a study, created if there are none.

    Raises:
        CommandError: the database has a study of that name with other settings.
    """
    storage = _connect(url)
    trials = optuna.create_study(
        storage=storage,
        study_name=f"{study.project.root.name}/{study.folder.name}",
        direction="minimize" if study.is_lower_better else "maximize",
        # Nothing to configure, and useful from a handful of trials on.
        pruner=MedianPruner(n_startup_trials=5),
        load_if_exists=True,
    )
    # Also checked in study.json, but another machine may have another folder.
    settings = {"config": study.config, "metric": study.metric, "mode": study.mode}
    settings["space"] = dict(space)
    if trials.user_attrs.get("settings", settings) != settings:
        raise CommandError(
            f"the database has a study {trials.study_name} with different settings. Restore them, "
            "or start another study: --study NAME"
        )
    trials.set_user_attr("settings", settings)
    return storage, trials


def _connect(url: URL) -> RDBStorage:
    is_sqlite = url.get_backend_name() == "sqlite"
    for attempt in range(3):
        try:
            storage = RDBStorage(
                url.render_as_string(hide_password=False),
                engine_kwargs={"connect_args": {"timeout": 60}} if is_sqlite else None,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
            )
            if is_sqlite:
                event.listen(storage.engine, "begin", _lock_database)
            return storage
        except (SQLAlchemyError, StorageInternalError):
            # Another command may create the tables at the same time.
            if attempt == 2:
                raise
            time.sleep(0.5)
    raise AssertionError


def _lock_database(connection: Connection) -> None:
    """Lock SQLite when a transaction begins, not when it writes.

    SQLite has no SELECT FOR UPDATE, so two commands could both take the trial that they read.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def parse_url(study: Study, given: str) -> URL:
    """The address of the database; by default a file in the study's folder.

    Raises:
        CommandError: it isn't one.
    """
    if not given:
        return URL.create("sqlite", database=str(study.folder / "study.db"))
    try:
        if given.count("@") > 1:
            raise ValueError
        return make_url(given)
    except (ArgumentError, ValueError):
        raise CommandError(
            "--storage: expected a URL such as postgresql+psycopg://user@host/name; write an @ in "
            "a user name or a password as %40"
        ) from None


@contextmanager
def one_line_errors(url: URL, *others: type[Exception]) -> Generator[None]:
    """Turn errors of the database into one line, without its password.

    Raises:
        CommandError: there is no such database, or it can't be used.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, *others) as error:
        if url.get_backend_name() == "sqlite" and not Path(url.database or "/").exists():
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), url.database) from None
        cause = error.__cause__ or error
        message = " ".join(str(getattr(cause, "orig", None) or cause).split())
        if isinstance(error, ImportError):
            message += ". Install its driver, such as psycopg for postgresql+psycopg://…"
        secrets = [url.render_as_string(hide_password=False), url.password]
        for values in url.normalized_query.values():
            secrets += values
        for secret in filter(None, secrets):  # a driver may repeat them, as they are or quoted
            for spelling in (secret, quote(secret, safe=""), quote_plus(secret)):
                message = message.replace(spelling, "***")
        shown = url.set(query={}).render_as_string()
        raise CommandError(f"--storage {shown}: {message}") from None


def require_no_password(given: str) -> None:
    """Refuse a URL with a password on the command line.

    A parameter may be one by any name, such as `?pwd=` or `?token=`.

    Raises:
        CommandError: with the other ways to give it.
    """
    try:
        url = make_url(given or "sqlite://")
    except (ArgumentError, ValueError):
        return  # refused by `parse_url`
    if url.password or url.query:
        raise CommandError(
            "--storage: expected a URL without a password and parameters, since other users can "
            f"read the command line. Set the environment variable {STORAGE_VARIABLE} to the whole "
            "URL, or leave the password to the database's own means, such as PGPASSWORD or "
            "~/.pgpass"
        )
