# The template's: updates improve this file and keep your edits.
"""A run: its folder, what it says of where it came from, and who may write to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import tomli_w
from filelock import FileLock, Timeout

from ..config import Config, flat, to_dict
from ..errors import RunError, RunExistsError, RunInUseError
from .provenance import differences, provenance

RUNS = Path("runs")


def run_folder(name: str) -> Path:
    """The folder of a run by its name, which is one folder's or STUDY/NAME.

    Raises:
        RunError: the name isn't valid.
    """
    parts = name.split("/")
    valid = all(part.isprintable() and not part.startswith(".") for part in parts)
    if not valid or not all(parts) or "\\" in name or len(parts) > 2:
        expected = "the name of a folder, such as 'wide', or STUDY/NAME, such as 'widths/wide'"
        raise RunError(f"--run-name {name!r}: expected {expected}")
    if len(parts) == 2 and (RUNS / parts[0] / "config.toml").exists():
        raise RunError(f"--run-name {name!r}: {parts[0]} is a run; expected the name of a study")
    return RUNS / name


class Run:
    """The folder of one run, and the names in it, which other tools read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"  # as resolved
        self.provenance = folder / "run.json"  # where the run came from
        self.metrics = folder / "metrics.jsonl"  # one line per logged step
        self.timings = folder / "timings.jsonl"  # apart, since times differ from run to run
        self.log = folder / "train.log"
        self.checkpoints = folder / "checkpoints"
        self.broken = folder / "broken_batch.json"  # where a loss stopped being finite
        self.report = folder / "report.html"  # written by `evaluate`
        self.predictions = folder / "predictions.csv"  # written by `evaluate`
        self.outcome = folder / "outcome.json"  # how it ended; there once it has

    @classmethod
    def create(
        cls,
        name: str,
        config: Config,
        data: str,
        *,
        scratch: bool = False,
        repeats: Run | None = None,
    ) -> Run:
        """A new run: its folder appears with config and provenance, or not at all.

        Args:
            name: of the folder in `runs/`, or STUDY/NAME.
            config: as resolved from file and command line.
            data: the digest of the examples.
            scratch: not worth keeping; the next scratch run of that name takes its place.
            repeats: the run that this one makes again.

        Raises:
            RunError: there is a run of that name, or the name isn't valid.
        """
        run = cls(run_folder(name))
        taken = RunExistsError(
            f"{run.folder} exists. Continue it with --resume {run.folder}, "
            "or choose another name with --run-name NAME"
        )
        if run.folder.exists() and not scratch:
            raise taken
        unfinished = run.folder.with_name(f".{run.folder.name}-{uuid4().hex}")
        unfinished.mkdir(parents=True)
        new = cls(unfinished)
        try:
            new.write_config(config)
            origin = {"repeats": str(repeats.folder)} if repeats else {}
            new.write_provenance(provenance(config, data) | {"scratch": scratch} | origin)
            if scratch and run.folder.exists():
                with run.locked():
                    if not run.read_provenance()["scratch"]:
                        raise taken
                shutil.rmtree(run.folder)  # unlocked: Windows removes no file that is open
            unfinished.rename(run.folder)
        except OSError:
            if run.folder.exists():  # another process was first
                raise taken from None
            raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """A run that exists, given by its folder or by its name.

        Raises:
            RunError: there is none; the message names the nearest.
        """
        for folder in (path, RUNS / path):
            if (folder / "config.toml").is_file():
                return cls(folder)
        files = sorted([*RUNS.glob("[!.]*/config.toml"), *RUNS.glob("*/[!.]*/config.toml")])
        names = {file.parent.name: file.parent for file in reversed(files)}
        near = get_close_matches(path.name, names, n=1, cutoff=0.5)
        hint = f"did you mean {names[near[0]]}?" if near else "expected a folder in runs/"
        raise RunError(f"{path}: no such run; {hint}")

    def read_provenance(self) -> dict[str, Any]:
        """What `provenance` said when the run was started."""
        try:
            content: dict[str, Any] = json.loads(self.provenance.read_text(encoding="utf-8"))
            if missing := {"config", "data", "scratch", "git", "packages"} - set(content):
                raise ValueError(f"without {', '.join(sorted(missing))}")
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"{self.provenance}: {error}. Is {self.folder} a run?") from None
        return content

    @property
    def id(self) -> str:
        """What the run is called in trackers, wherever its folder moves."""
        return str(self.read_provenance().get("id", self.folder.name))

    def differences(self, config: Config, data: str) -> list[str]:
        """What could make a run that trains now end otherwise than this one, a line each."""
        return differences(self.read_provenance(), provenance(config, data))

    def write_config(self, config: Config) -> None:
        """Write config.toml, for people and for `--resume`; run.json holds the same."""
        self.config.write_text(tomli_w.dumps(to_dict(config)), encoding="utf-8")

    def record_start(self, config: Config, data: str) -> None:
        """Note that the run goes on, and what isn't as it was when it began.

        With other settings or other data it is another run to a tracker, hence gets another id.
        """
        before, now = self.read_provenance(), provenance(config, data)
        again = {"started": now["started"], "command": now["command"]}
        again["differences"] = differences(before, now)
        said = before | {"continued": [*before.get("continued", []), again]}
        if (before["config"], before["data"]) != (now["config"], now["data"]):
            was = {name: before.get(name) for name in ("id", "config", "data")}
            said |= {name: now[name] for name in was}
            said["changes"] = [*before.get("changes", []), was]
            self.write_config(config)
        self.write_provenance(said)

    def write_outcome(self, content: Mapping[str, Any]) -> None:
        """Write how the run ended; the file is there if, and only if, it has."""
        replace_text(self.outcome, json.dumps(content, indent=2) + "\n")

    def write_provenance(self, content: Mapping[str, Any]) -> None:
        """Replace run.json."""
        replace_text(self.provenance, json.dumps(content, indent=2) + "\n")

    def require_same(self, config: Config, data: str | None = None) -> None:
        """Refuse to continue with other settings or other data than the run began with.

        A setting that the project has got or lost since then is no difference. Without the digest
        of the data, only the settings are compared.

        Raises:
            RunError: naming each difference.
        """
        recorded = self.read_provenance()
        before, now = flat(recorded["config"]), flat(to_dict(config))
        lines = [
            f"  {name}: was {before[name]!r}, now {now[name]!r}"
            for name in sorted({*before, *now})
            if name in before and name in now and before[name] != now[name]
        ]
        if data is not None and recorded["data"] != data:
            lines.append(f"  data (or the code that reads it): was {recorded['data']}, now {data}")
        if lines:
            raise RunError(
                f"{self.folder} was trained with other settings or data:\n"
                + "\n".join(lines)
                + "\nRestore them, start another run, or insist with --allow-changes"
            )

    def require_data(self, data: str) -> None:
        """Refuse to judge a model by records that it may have learnt from.

        Raises:
            RunError: the data, its splits or the code that reads it changed since.
        """
        recorded = self.read_provenance()["data"]
        if recorded != data:
            raise RunError(
                f"{self.folder} was trained on other records or splits: data was {recorded}, now "
                f"{data}. Restore them (settings of data., data/*.py), or train anew"
            )

    @contextmanager
    def locked(self) -> Generator[None]:
        """Be the only process that writes to the run. A crash releases the lock.

        Raises:
            RunInUseError: another process holds it.
        """
        lock = FileLock(self.folder / ".lock", timeout=1)  # a reader may probe it for an instant
        try:
            lock.acquire()
        except Timeout:
            raise RunInUseError(
                f"{self.folder} is in use by another process. Wait for it, or stop it first"
            ) from None
        except OSError as error:
            raise RunError(
                f"{self.folder} can't be written to ({error.strerror}). "
                "Give yourself the permission, or train another run"
            ) from None
        try:
            yield
        finally:
            lock.release()


def replace_text(path: Path, text: str) -> None:
    """Write a file at once: a crash, even of the machine, leaves the old one or the new one."""
    unfinished = path.with_name(f".{path.name}")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)  # what a full disk left


class StopRequest:
    """Whether somebody asked the run to stop; false until then."""

    signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def __str__(self) -> str:
        return self.signal.name if self.signal else "nothing"

    def note(self, number: int, frame: FrameType | None) -> None:
        """A signal's handler. The second one of a kind ends the process at once."""
        self.signal = signal.Signals(number)
        signal.signal(number, signal.SIG_DFL)


def _stop_signals() -> list[signal.Signals]:
    numbers = [signal.SIGTERM, signal.SIGINT]
    if hasattr(signal, "SIGUSR1"):  # schedulers warn with it before a time limit
        numbers.append(signal.SIGUSR1)
    return numbers


@contextmanager
def interrupted_by_signals() -> Generator[None]:
    """Let each of these signals raise KeyboardInterrupt: while nothing is trained yet."""
    interrupt = signal.default_int_handler
    before = {number: signal.signal(number, interrupt) for number in _stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stop_on_signal() -> Generator[StopRequest]:
    """Let SIGTERM, SIGINT and SIGUSR1 finish the step instead of breaking into it."""
    request = StopRequest()
    before = {number: signal.signal(number, request.note) for number in _stop_signals()}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
