"""Where Optuna keeps the trials: SQLite in the study's folder, or a database that is shared."""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import MedianPruner
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy import Connection, event
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ..errors import CommandError
from .project import STORAGE_VARIABLE
from .study import Study

HEARTBEAT_SECONDS = 2
GRACE_SECONDS = 10  # without a heartbeat, after which a trial is queued again

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
warnings.filterwarnings("ignore", category=ExperimentalWarning)  # heartbeats, multivariate TPE
warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed to be used with")

requeue = RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
"""Optuna's RetryFailedTrialCallback, by its present name."""


def open_database(study: Study, url: str) -> tuple[RDBStorage, optuna.Study]:
    """The trials of a study, created if there are none."""
    storage = _connect(url or f"sqlite:///{study.folder / 'study.db'}")
    trials = optuna.create_study(
        storage=storage,
        study_name=f"{study.project.root.name}/{study.folder.name}",
        direction="minimize" if study.is_lower_better else "maximize",
        # Nothing to configure, and useful from a handful of trials on.
        pruner=MedianPruner(n_startup_trials=5),
        load_if_exists=True,
    )
    return storage, trials


def _connect(url: str) -> RDBStorage:
    is_sqlite = url.startswith("sqlite")
    for attempt in range(3):
        try:
            storage = RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": 60}} if is_sqlite else None,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=requeue,
            )
            if is_sqlite:
                event.listen(storage.engine, "begin", _lock_database)
            return storage
        except (SQLAlchemyError, StorageInternalError) as error:
            # Two commands that create the tables at the same time get in each other's way.
            if attempt == 2 or isinstance(error, ArgumentError):
                raise
            time.sleep(0.5)
    raise AssertionError


def _lock_database(connection: Connection) -> None:
    """Lock SQLite when a transaction begins, not when it writes.

    SQLite has no SELECT FOR UPDATE, so two commands could both take the trial that they read.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def one_line_errors(url: str) -> Generator[None]:
    """Say in one line what is wrong with the database, without its password.

    Raises:
        CommandError: there is no such database, or it can't be used.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:
        cause = error.__cause__ or error
        message = " ".join(str(getattr(cause, "orig", None) or cause).split())
        if isinstance(error, ImportError):
            message += ". Install its driver, such as psycopg for postgresql+psycopg://…"
        for secret in filter(None, (url, _password(url))):  # a driver may repeat them
            message = message.replace(secret, "***")
        shown = url.replace(f":{_password(url)}@", ":***@") if url else "study.db"
        raise CommandError(f"--storage {shown}: {message}") from None


def _password(url: str) -> str:
    """What is between the user's name and the host of an address."""
    user = url.partition("://")[2].rpartition("@")[0]
    return user.partition(":")[2]


def require_no_password(url: str) -> None:
    """Refuse an address with a password on the command line.

    Raises:
        CommandError: with the other ways to give it.
    """
    if _password(url) or "password=" in url.lower():
        raise CommandError(
            "--storage: expected an address without a password, since other users can read the "
            f"command line. Set the environment variable {STORAGE_VARIABLE} to the whole address, "
            "or leave the password to the database's own means, such as PGPASSWORD or ~/.pgpass"
        )
