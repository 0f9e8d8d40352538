"""One training run, read from its folder: docs/run-format.md."""

from __future__ import annotations

import json
import math
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from ..errors import CommandError

FORMAT = 1
RUNS = "runs"
MAX_BYTES = 1 << 30  # of a file

History = list[tuple[int, dict[str, float]]]
"""Each logged step with its metrics, ascending."""


@dataclass(frozen=True)
class Estimate:
    """A metric of the test split, with its 95 % confidence interval."""

    value: float
    interval: tuple[float, float] | None  # None: undefined, as for a single example

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.value:.4g}"
        low, high = self.interval
        return f"{self.value:.4g} ({low:.4g} to {high:.4g})"


@dataclass(frozen=True)
class Evaluation:
    """The content of metrics.json."""

    step: int
    examples: int
    metrics: dict[str, Estimate]

    def selecting(self, metric: str | None) -> tuple[str, Estimate] | None:
        """Name and estimate of the metric that selects the best checkpoint; else of the first.

        Args:
            metric: as in outcome.json, such as `validation/accuracy`; None until the run has ended.
        """
        name = (metric or "").rpartition("/")[2]
        if name not in self.metrics:
            name = next(iter(self.metrics), None)
        return None if name is None else (name, self.metrics[name])


@dataclass(frozen=True)
class Run:
    """A run's files, each read on first use."""

    folder: Path
    root: Path  # of the project

    @property
    def name(self) -> str:
        """Path below `runs/`, such as `small` or `tune/trial-0003`."""
        return self.folder.relative_to(self.root / RUNS).as_posix()

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config."""
        path = self.folder / "config.toml"
        try:
            return tomllib.loads(read_bytes(path).decode())
        except (ValueError, RecursionError) as error:
            raise CommandError(f"{path}: {error}") from None

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """The content of run.json.

        Raises:
            CommandError: it can't be read, or is of a later format.
        """
        path = self.folder / "run.json"
        content = _read_object(path)
        version = content.get("format")
        if version != FORMAT:
            raise CommandError(
                f"{path}: format is {version!r:.100}, expected {FORMAT}. Runs of a later format "
                "need a later ml-architect: pip install --upgrade ml-architect"
            )
        if not isinstance(content.get("started"), str):
            raise CommandError(f"{path}: expected the key started; see docs/run-format.md")
        for key, kind in {"git": dict, "device": dict, "packages": dict, "command": list}.items():
            content[key] = content.get(key) or kind()
            if not isinstance(content[key], kind):
                raise CommandError(f"{path}: {key} isn't as docs/run-format.md describes it")
        return content

    @property
    def outcome(self) -> dict[str, Any] | None:
        """The content of outcome.json; None until the run has ended."""
        path = self.folder / "outcome.json"
        if not os.path.lexists(path):
            return None
        content = _read_object(path)
        if missing := {"metric", "mode", "best_value"} - content.keys():
            raise CommandError(f"{path}: expected the key {', '.join(sorted(missing))}")
        for key in ("best_value", "best_step", "seconds"):
            value = content.get(key)
            if value is not None and not _is_finite(value):
                given = f"{value!r:.100}"
                raise CommandError(f"{path}: {key} is {given}, expected a finite number or null")
        if not isinstance(metric := content["metric"], str):
            raise CommandError(f"{path}: metric is {metric!r:.100}, expected a name")
        return content

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The content of metrics.json; None until the run has been evaluated."""
        path = self.folder / "metrics.json"
        if not os.path.lexists(path):
            return None
        content = _read_object(path)
        try:
            metrics = {name: _estimate(entry) for name, entry in content["metrics"].items()}
            return Evaluation(int(content["step"]), int(content["examples"]), metrics)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            raise CommandError(
                f"{path}: expected step, examples, and metrics by name with value, low and high; "
                f"see docs/run-format.md. To write it again: COMMAND evaluate {self.folder}"
            ) from None

    @cached_property
    def metrics(self) -> History:
        """The lines of metrics.jsonl."""
        history: History = []
        for line in read_lines(self.folder / "metrics.jsonl"):
            step = int(line.pop("step"))
            history.append((step, line))
        return history

    @cached_property
    def timings(self) -> list[dict[str, float]]:
        """The lines of timings.jsonl."""
        return list(read_lines(self.folder / "timings.jsonl"))

    def is_locked(self) -> bool:
        """Whether a process is training it now."""
        try:
            import fcntl
        except ImportError:  # Windows has no flock
            return False
        try:
            # For reading, as on a read-only mount; a pipe would wait for a writer.
            lock = os.open(self.folder / ".lock", os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # the file system has no locks
            return False
        finally:
            os.close(lock)
        return False


def find_root(start: Path | None = None) -> Path:
    """The project's root: the nearest folder upwards with a pyproject.toml or a folder runs/."""
    start = Path.cwd() if start is None else start.resolve()
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").is_file() or (folder / RUNS).is_dir():
            return folder
    return start


def all_runs(root: Path) -> list[Run]:
    """Every run below runs/, throwaway runs too, in no particular order; none being created."""
    patterns = (f"{RUNS}/[!.]*/run.json", f"{RUNS}/[!.]*/[!.]*/run.json")
    files = [file for pattern in patterns for file in root.glob(pattern)]
    return [Run(file.parent, root) for file in files if (file.parent / "config.toml").exists()]


def open_run(given: str | Path, root: Path) -> Run:
    """A run by its folder or by its name.

    Raises:
        CommandError: there is none; the message names the nearest.
    """
    runs = root / RUNS
    for folder in (Path.cwd() / given, runs / given):
        # Not resolved, since runs/ may be a symbolic link.
        folder = Path(os.path.abspath(folder))  # noqa: PTH100
        if os.path.lexists(folder / "run.json") and folder.is_relative_to(runs):
            return Run(folder, root)
    known = {run.name: run for run in all_runs(root)}
    name = Path(given).as_posix().removeprefix(f"{RUNS}/")
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"expected the name of a run in {runs}"
    raise CommandError(f"{given}: no such run; {hint}")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by their full names, such as `training.max_steps`."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= flatten(cast("dict[str, Any]", value), f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a JSON Lines file; a run in progress may have written half of one."""
    if not os.path.lexists(path):
        return
    for number, line in enumerate(read_bytes(path).splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            return
        try:
            given = json.loads(line)
            content = {name: _number(value) for name, value in given.items()}
            content["step"] = int(content["step"])
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            raise CommandError(
                f"{path}, line {number}: expected a JSON object of numbers with the key step"
            ) from None
        yield content


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise CommandError(f"{path}: expected a JSON object")
    return content  # pyright: ignore[reportUnknownVariableType]


def read_bytes(path: Path) -> bytes:
    """The content of a regular file; a pipe would wait for ever, and a device might have no end."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise CommandError(f"{path}: expected a regular file of at most {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None


def write_file(path: Path, content: bytes) -> None:
    """Write a file completely or not at all; a link in its place is replaced, not followed.

    Raises:
        CommandError: it can't be written.
    """
    if path.exists() and not path.is_file():
        raise CommandError(f"{path}: expected a file to write to, not a folder or a device")
    unfinished = path.parent / f".{uuid4().hex}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("xb") as file:
            file.write(content)
        unfinished.replace(path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise CommandError(f"{path}: {error.strerror}; expected a file to write to") from None


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1 << 63


def _estimate(entry: Mapping[str, Any]) -> Estimate:
    """One entry of metrics.json; a bound may be missing, null or NaN where it is undefined."""
    value, low, high = (_number(entry.get(key)) for key in ("value", "low", "high"))
    if not math.isfinite(value):
        raise ValueError
    return Estimate(value, (low, high) if math.isfinite(low) and math.isfinite(high) else None)


def _number(given: Any) -> float:
    """A number of a JSON file, NaN for null; not a string, though Python would convert it."""
    if isinstance(given, str):
        raise TypeError
    return math.nan if given is None else float(given)
