# The template's: updates improve this file and keep your edits.
"""A run: its folder, what it says of where it came from, and who may write to it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from importlib.metadata import distributions
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import tomli_w
from filelock import FileLock, Timeout

from ..config import Config, to_dict
from ..errors import RunError

RUNS = Path("runs")


class Run:
    """The folder of one run, and the names in it, which other tools read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"  # as resolved
        self.provenance = folder / "run.json"  # where the run came from
        self.metrics = folder / "metrics.jsonl"  # a line for each logged step
        self.timings = folder / "timings.jsonl"  # apart, since times differ from run to run
        self.log = folder / "train.log"
        self.checkpoints = folder / "checkpoints"
        self.report = folder / "report.html"  # written by `evaluate`

    @classmethod
    def create(cls, name: str, config: Config, data: str, *, scratch: bool = False) -> Run:
        """A new run: its folder appears with config and provenance, or not at all.

        Args:
            name: of the folder in `runs/`.
            config: as resolved from file and command line.
            data: the fingerprint of the records.
            scratch: not worth keeping; the next scratch run of that name takes its place.

        Raises:
            RunError: there is a run of that name, or the name is no folder's.
        """
        if not name or Path(name).name != name or name.startswith("."):
            raise RunError(f"--run-name {name!r}: expected the name of a folder, such as 'wide'")
        run = cls(RUNS / name)
        taken = RunError(
            f"{run.folder} exists. Continue it with --resume {run.folder}, "
            "or choose another name with --run-name NAME"
        )
        if run.folder.exists() and not scratch:
            raise taken
        unfinished = RUNS / f".{name}-{uuid4().hex}"
        unfinished.mkdir(parents=True)
        new = cls(unfinished)
        try:
            new.write_config(config)
            new.write_provenance(provenance(config, data) | {"scratch": scratch})
            if scratch and run.folder.exists():
                with run.locked():
                    if not run.read_provenance()["scratch"]:
                        raise taken
                    shutil.rmtree(run.folder)
            unfinished.rename(run.folder)
        except FileExistsError:  # another process was first
            raise taken from None
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
        names = [each.parent.name for each in sorted(RUNS.glob("*/config.toml"))]
        near = get_close_matches(path.name, names, n=1, cutoff=0.5)
        hint = f"did you mean {RUNS / near[0]}?" if near else "expected a folder in runs/"
        raise RunError(f"{path}: no such run; {hint}")

    def read_provenance(self) -> dict[str, Any]:
        """What `provenance` said when the run was started."""
        try:
            content: dict[str, Any] = json.loads(self.provenance.read_text(encoding="utf-8"))
            if missing := {"config", "data", "scratch"} - set(content):
                raise ValueError(f"without {', '.join(sorted(missing))}")
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"{self.provenance}: {error}. Is {self.folder} a run?") from None
        return content

    def write_config(self, config: Config) -> None:
        """Write config.toml, for people and for `--resume`; run.json holds the same."""
        self.config.write_text(tomli_w.dumps(to_dict(config)), encoding="utf-8")

    def record_change(self, config: Config, data: str) -> None:
        """Go on with this config and this data, and remember what it was until now."""
        before = self.read_provenance()
        changes = [*before.get("changes", []), {name: before[name] for name in ("config", "data")}]
        now = provenance(config, data) | {"scratch": before["scratch"], "changes": changes}
        self.write_provenance(now)
        self.write_config(config)

    def write_provenance(self, content: Mapping[str, Any]) -> None:
        """Replace run.json, at once: a crash leaves the old one or the new one."""
        unfinished = self.folder / ".run.json"
        unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self.provenance)

    def require_same(self, config: Config, data: str) -> None:
        """Refuse to continue with other settings or other data than the run began with.

        A setting that the project has got or lost since then is no difference.

        Raises:
            RunError: naming each difference.
        """
        recorded = self.read_provenance()
        before, now = _flat(recorded["config"]), _flat(to_dict(config))
        lines = [
            f"  {name}: was {before[name]!r}, now {now[name]!r}"
            for name in sorted({*before, *now})
            if name in before and name in now and before[name] != now[name]
        ]
        if recorded["data"] != data:
            lines.append(f"  data (or the code that reads it): was {recorded['data']}, now {data}")
        if lines:
            raise RunError(
                f"{self.folder} was trained otherwise:\n" + "\n".join(lines) + "\n"
                "Restore that, start another run, or insist with --allow-changes"
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
            RunError: another process holds it.
        """
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise RunError(
                f"{self.folder} is in use by another process. Wait for it, or stop it first"
            ) from None
        try:
            yield
        finally:
            lock.release()


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def provenance(config: Config, data: str) -> dict[str, Any]:
    """All that it takes to make a run again, besides its config."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "seed": config.seed,
        "config": to_dict(config),
        "data": data,
        "template": _template_version(),
        "git": {
            "commit": _git("rev-parse", "HEAD").strip() or None,
            "diff": _git("diff", "HEAD"),
            "untracked": _git("ls-files", "--others", "--exclude-standard").splitlines(),
        },
        "python": platform.python_version(),
        "host": {"name": platform.node(), "system": platform.platform(), "cpus": os.cpu_count()},
        "packages": {
            each.name: each.version
            for each in sorted(distributions(), key=lambda each: each.name.lower())
        },
    }


def _git(*arguments: str) -> str:
    """What git prints; nothing where there is no git, or no repository, or no commit yet."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, errors="replace"
        )
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _template_version() -> str | None:
    answers = Path(".copier-answers.yml")
    lines = answers.read_text(encoding="utf-8").splitlines() if answers.is_file() else []
    versions = (line.removeprefix("_commit:") for line in lines if line.startswith("_commit:"))
    return next((version.strip().strip("'\"") for version in versions), None)


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


@contextmanager
def stop_on_signal() -> Generator[StopRequest]:
    """Let SIGTERM and SIGINT finish the step instead of breaking into it."""
    request = StopRequest()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, request.note) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
