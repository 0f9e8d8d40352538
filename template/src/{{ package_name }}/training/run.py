# The template's: updates improve this file and keep your edits.
"""A run: its folder, its provenance, its lock, and the signals that stop it."""

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
from importlib.metadata import distributions
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import tomli_w
from filelock import FileLock, Timeout

from ..config import Config, drop_unknown, flatten, read_toml, to_dict
from ..errors import RunError, RunInUseError, did_you_mean, redact_passwords

if TYPE_CHECKING:  # torch takes seconds to import
    from ..data.dataset import Dataset

RUNS = Path("runs")
NO_EFFECT = {"training.workers", "cache_dir"}  # settings that don't change the result


class Run:
    """The folder `runs/NAME`, or `runs/STUDY/NAME`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config_path = folder / "config.toml"
        self.provenance_path = folder / "run.json"
        self.outcome_path = folder / "outcome.json"  # written when the run has ended

    @classmethod
    def create(
        cls, name: str, config: Config, train_set: "Dataset", *, scratch: bool = False
    ) -> Self:
        """A new run. Its folder appears with config and provenance, or not at all.

        Args:
            name: of the folder in `runs/`, or STUDY/NAME.
            config: all settings.
            train_set: the examples that it will be trained on.
            scratch: a throwaway run, which the next one of that name replaces.

        Raises:
            RunError: the run exists, or the name isn't valid.
        """
        folder = run_folder(name)
        run = cls(folder.with_name(f".{folder.name}-{uuid4().hex}"))
        run.folder.mkdir(parents=True)
        try:
            run.config_path.write_text(tomli_w.dumps(to_dict(config)), encoding="utf-8")
            shutil.copy(train_set.folder / "schema.json", run.folder)  # to predict without the data
            run.write("run.json", provenance(config, train_set) | {"scratch": scratch})
            if scratch and folder.exists() and cls(folder).read_provenance()["scratch"]:
                with cls(folder).locked():
                    pass  # no other process trains it
                shutil.rmtree(folder)
            run.folder.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            raise RunError(
                f"{folder} exists; continue it with --resume {folder}, or choose another name with "
                "--run-name NAME. In a notebook: Run.open, another name, or scratch=True"
            ) from None
        finally:
            shutil.rmtree(run.folder, ignore_errors=True)
        return cls(folder)

    @classmethod
    def open(cls, path: Path) -> Self:
        """An existing run, given by its folder or by its name.

        Raises:
            RunError: there is no such run; the message names the nearest.
        """
        for folder in (path, RUNS / path):
            if (folder / "config.toml").is_file():
                return cls(folder)
        known = [str(file.parent) for file in RUNS.glob("**/[!.]*/config.toml")]
        near = did_you_mean(str(RUNS / path.name), known)
        raise RunError(f"{path}: no such run{near or '; expected a folder in runs/'}")

    def read_config(self) -> dict[str, Any]:
        """The settings of the run, without those that the project has removed since."""
        return drop_unknown(read_toml(self.config_path), to_dict(Config()))

    def read_provenance(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(self.provenance_path.read_text(encoding="utf-8"))
            if missing := {"id", "config", "data", "scratch"} - set(content):
                raise ValueError(f"without {', '.join(sorted(missing))}")
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"{self.provenance_path}: {error}. Is {self.folder} a run?") from None
        return content

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file, atomically."""
        replace_text(self.folder / name, json.dumps(content, indent=2) + "\n")

    def require_same(self, config: Config, data: str | None = None) -> None:
        """
        Raises:
            RunError: the run was trained with other settings or data; it names each of them.
        """
        recorded = self.read_provenance()
        before, now = flatten(recorded["config"]), flatten(to_dict(config))
        lines = [
            f"  {name}: was {before[name]!r}, now {now[name]!r}"
            for name in sorted(before.keys() & now.keys() - NO_EFFECT)  # one may be new, or gone
            if before[name] != now[name]
        ]
        if data is not None and recorded["data"] != data:
            lines.append(f"  data (or the code that reads it): was {recorded['data']}, now {data}")
        if lines:
            changes = "\n".join(lines)
            raise RunError(
                f"{self.folder} was trained with other settings or data:\n{changes}\n"
                "Restore them, start another run, or insist with --allow-changes"
            )

    def record_resume(self, config: Config, train_set: "Dataset") -> None:
        """Add this start to run.json; with other settings or data, what they were before."""
        recorded, now = self.read_provenance(), provenance(config, train_set)
        changed = [name for name in ("config", "data") if recorded[name] != now[name]]
        kept = {name: now[name] for name in ("started", "command", "git", "python", "device")}
        recorded.setdefault("continued", []).append(kept)
        if changed:  # to a tracker it is another run from here on, so it gets another id
            before = {name: recorded[name] for name in ("id", "config", "data")}
            recorded.setdefault("changes", []).append(before)
            recorded |= {name: now[name] for name in before}
            replace_text(self.config_path, tomli_w.dumps(to_dict(config)))
        self.write("run.json", recorded)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Be the only process that writes to the run. A crash releases the lock.

        Raises:
            RunInUseError: another process holds it.
        """
        lock = FileLock(self.folder / ".lock", timeout=1)  # readers hold it for an instant
        try:
            lock.acquire()
        except Timeout:
            message = f"{self.folder} is in use by another process; wait for it, or stop it first"
            raise RunInUseError(message) from None
        try:
            yield
        finally:
            lock.release()


def run_folder(name: str) -> Path:
    """
    Raises:
        RunError: the name isn't that of a folder, or of a folder in a study's.
    """
    parts = name.split("/")
    valid = all(part.isprintable() and not part.startswith(".") for part in parts)
    if not valid or not all(parts) or "\\" in name or len(parts) > 2:
        raise RunError(f"--run-name {name!r}: expected a folder's name, or STUDY/NAME")
    if len(parts) == 2 and (RUNS / parts[0] / "config.toml").exists():
        raise RunError(f"--run-name {name!r}: {parts[0]} is a run; expected the name of a study")
    return RUNS / name


def provenance(config: Config, train_set: "Dataset") -> dict[str, Any]:
    """All that it takes to reproduce a run that begins now. No environment: it may have secrets."""
    from .device import describe, select_device

    return {
        "format": 1,  # of the files in a run's folder: see docs/run-format.md of ml-architect
        "id": uuid4().hex,  # in trackers, wherever the folder is moved
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [redact_passwords(word) for word in sys.argv],
        "seed": config.seed,
        "config": to_dict(config),
        "data": train_set.digest,
        "input_shape": train_set.shape,
        "num_outputs": train_set.schema.num_outputs,
        "git": {
            "commit": _git("rev-parse", "HEAD").strip() or None,
            "diff": _git("diff", "HEAD"),
            "untracked": _git("ls-files", "--others", "--exclude-standard").splitlines(),
        },
        "python": platform.python_version(),
        "device": describe(select_device(config.training)),
        "host": {"name": platform.node(), "system": platform.platform(), "cpus": os.cpu_count()},
        "packages": {(info := d.metadata)["Name"]: info["Version"] for d in distributions()},
    }


def _git(*arguments: str) -> str:
    """Empty without git, a repository or a commit."""
    if shutil.which("git") is None:
        return ""
    command = ["git", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    return result.stdout if result.returncode == 0 else ""


def replace_text(path: Path, text: str) -> None:
    """Write atomically: a crash leaves either the old or the new content."""
    temporary = path.with_name(f".{path.name}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class StopRequest:
    """True once a signal has asked the run to stop."""

    signal_name = ""

    def __bool__(self) -> bool:
        return bool(self.signal_name)

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once


@contextmanager
def stop_on_signal() -> Generator[StopRequest]:
    """SIGTERM, SIGINT and SIGUSR1 request a stop instead of ending the process."""
    request, before = StopRequest(), {}
    for name in ("SIGTERM", "SIGINT", "SIGUSR1"):  # schedulers send the last before a time limit
        if hasattr(signal, name):  # Windows has no SIGUSR1
            number = getattr(signal, name)
            before[number] = signal.signal(number, request.handle)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
