# The template's: updates improve this file and keep your edits.
"""A run: its folder, its lock, and the signals that stop it."""

import json
import shutil
import signal
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import tomli_w

from ..config import Config, drop_unknown, flatten, read_toml, to_dict
from ..errors import RunError, did_you_mean
from .files import locked, read_json, replace_text
from .provenance import provenance

if TYPE_CHECKING:  # torch takes seconds to import
    from ..data.dataset import Dataset

RUNS = Path("runs")
NO_EFFECT = {"training.workers", "training.timeout_minutes", "cache_dir"}  # on the result


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
            run.write("schema.json", asdict(train_set.schema))  # to predict without the data
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
                if not str(folder).isprintable():
                    raise RunError(f"{str(folder)!r}: rename it; expected a name that can be read")
                return cls(folder)
        known = [str(file.parent) for file in RUNS.glob("**/[!.]*/config.toml")]
        near = did_you_mean(str(RUNS / path.name), known)
        raise RunError(f"{path}: no such run{near or '; expected a folder in runs/'}")

    def read_config(self) -> dict[str, Any]:
        """The settings of the run, without those that the project has removed since."""
        return drop_unknown(read_toml(self.config_path), to_dict(Config()))

    def read_provenance(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = read_json(self.provenance_path)
            needed = {"id", "config", "data", "scratch", "input_shape", "num_outputs"}
            if not needed <= set(content) or not isinstance(content["config"], dict):
                raise ValueError(f"expected {', '.join(sorted(needed))}")
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
        before.setdefault("training.parts", before.get("training.accumulation_steps", 1))
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

    def locked(self) -> AbstractContextManager[None]:
        """Be the only process that writes to the run.

        Raises:
            RunInUseError: another process does.
        """
        return locked(self.folder, timeout=1)  # readers hold it for an instant


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


class StopRequest:
    """True once a signal has asked the run to stop."""

    signal_name = ""
    at_second: Any = signal.SIG_DFL  # a second one of its kind ends the process at once

    def __bool__(self) -> bool:
        return bool(self.signal_name)

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name
        signal.signal(number, self.at_second)


@contextmanager
def stop_on_signal() -> Generator[StopRequest]:
    """SIGTERM, SIGINT, SIGUSR1 and SIGHUP request a stop instead of ending the process."""
    request, before = StopRequest(), {}
    names = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")  # schedulers send the third before a limit
    for name in names if current_thread() is main_thread() else ():  # others can't handle signals
        number = getattr(signal, name, None)  # Windows has two of them
        if number and (name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN):  # nohup
            before[number] = signal.signal(number, request.handle)
    try:
        yield request
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) != signal.SIG_IGN:  # several processes end together
                signal.signal(number, handler)
