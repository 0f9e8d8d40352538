# The template's: updates improve this file and keep your edits.
"""Which steps have passed, and whether code, config and data are still those that they passed with.

Kept beside the runs, in `runs/steps.json`: the last outcome of each step on this machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import from_dict, merge, read, to_dict
from ..errors import ProjectError, command_line

if TYPE_CHECKING:
    from .base import Command, Step

PACKAGE = Path(__file__).parents[1]
FILE = Path("runs/steps.json")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a step stands."""

    command: type[Command]
    entry: Mapping[str, Any] = field(default_factory=dict[str, Any])  # nothing: never run
    changed: tuple[str, ...] = ()  # what isn't as it was when the step was run

    @property
    def name(self) -> str:
        """Of the command."""
        return self.command.__name__.lower()

    @property
    def passed(self) -> bool:
        """Whether it passed, and would be the same today."""
        return bool(self.entry) and self.entry["passed"] and not self.changed

    def __str__(self) -> str:
        if not self.entry:
            return "not yet"
        outcome = "passed" if self.entry["passed"] else "failed"
        if not self.changed:
            return outcome
        more = f" and {len(self.changed) - 3} more" if len(self.changed) > 3 else ""
        return f"{outcome}, then changed: {', '.join(self.changed[:3])}{more}"


class Ledger:
    """The last outcome of each step."""

    def __init__(self, path: Path = FILE) -> None:
        self._path = path

    def note(self, command: Step, *, passed: bool, said: str, where: str, data: str) -> None:
        """Put down how a step ended.

        Args:
            command: that was run.
            passed: whether the step counts as done.
            said: what was found, in a line.
            where: the result lies.
            data: the digest of the records; empty where they aren't known.
        """
        resolved = to_dict(command.settings)
        kind = type(command)
        stated, table = _stated(command.config, kind.table)
        entry = {
            "passed": passed,
            "said": said,
            "where": where,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command_line(),
            "config": resolved,
            "file": str(command.config) if command.config else None,
            "table": table,
            "over_file": beyond(resolved, to_dict(from_dict(stated))),
            "code": _digests(kind.code),
            "data": data,
        }
        self.write(kind, entry)

    def write(self, kind: type[Command], entry: Mapping[str, Any]) -> None:
        """Replace the entry of one step, whoever else writes at the same time."""
        from filelock import FileLock

        from ..training.run import replace_text

        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path.with_name(".steps.lock")):
            entries = self._read() | {kind.__name__.lower(): dict(entry)}
            replace_text(self._path, json.dumps(entries, indent=2) + "\n")

    def standings(self) -> list[Standing]:
        """Every step in the order of the work."""
        from . import COMMANDS

        entries = self._read()
        return [
            Standing(kind, entries[name], tuple(_changed(kind, entries[name])))
            if name in entries
            else Standing(kind)
            for name, kind in COMMANDS.items()
            if kind.number
        ]

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # it is an aid to memory, and is written anew
            return {}


def _changed(kind: type[Command], entry: Mapping[str, Any]) -> Iterator[str]:
    """What isn't as it was when the step was run, a word or two each."""
    before, now = entry["code"], _digests(kind.code)
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield name
    if not entry["config"]:
        return  # it doesn't go by settings
    try:
        stated, table = _stated(Path(entry["file"]) if entry["file"] else None, kind.table)
        config = from_dict(merge(stated, entry["over_file"]))
    except ProjectError:
        yield f"{entry['file'] or 'the settings'} can't be read"
        return
    if table != entry.get("table"):
        yield f"[{kind.table}] of {entry['file']}"
    resolved = to_dict(config)
    if differing := beyond(resolved, entry["config"]):
        sections = (
            [f"{section}.{name}" for name in values] if isinstance(values, dict) else [section]
            for section, values in differing.items()
        )
        yield ", ".join(name for names in sections for name in names)
    if entry["data"] and entry["data"] != present_data(config):
        yield "the data"


def present_data(config: Any) -> str:
    """The digest of the records as they would be read today; empty if none are prepared."""
    from ..data.cache import digest, fingerprint

    try:
        return digest(config.data.cache_dir / fingerprint(config.data))
    except (OSError, ValueError, ProjectError):
        return ""


def _stated(file: Path | None, table: str) -> tuple[dict[str, Any], Any]:
    """The settings of a config file, and apart from them the table that is a command's own."""
    stated = read(file) if file else {}
    return stated, stated.pop(table, None)


def beyond(settings: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the base has otherwise, in their sections."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            if inner := beyond(value, base.get(name, {})):
                found[name] = inner
        elif name not in base or base[name] != value:
            found[name] = value
    return found


def _digests(names: tuple[str, ...]) -> dict[str, str]:
    """A digest of each file of the package that is named, or lies in a folder that is."""
    files = [path for name in names for path in (PACKAGE / name, *(PACKAGE / name).rglob("*.py"))]
    return {
        path.relative_to(PACKAGE).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in files
        if path.is_file()
    }
