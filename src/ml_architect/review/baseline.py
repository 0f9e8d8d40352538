"""Findings that a project accepts for now, so that a review shows only new ones."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..errors import CommandError
from ..runs.run import read_bytes, write_file
from .findings import Finding, Place
from .sources import Sources

FORMAT = 1
DEFAULT_NAME = "review-baseline.json"
ADVICE = "to write one: ml-architect review --baseline FILE --write-baseline"


@dataclass(frozen=True)
class Entry:
    """One place of an accepted finding. Only the fingerprint is compared; the rest is to read."""

    id: str
    path: str
    scope: str
    text: str
    fingerprint: str


def fingerprint(finding: Finding, place: Place, sources: Sources) -> str:
    """What stays the same when lines above change, or the line is reindented."""
    parts = (finding.rule.id, sources.code(place), finding.scope)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


def write(path: Path, findings: Iterable[Finding], sources: Sources) -> int:
    """Write a baseline that accepts these findings. Returns how many places it has."""
    entries = [
        Entry(
            id=finding.rule.id,
            path=place.path,
            scope=finding.scope,
            text=sources.code(place)[:200],
            fingerprint=fingerprint(finding, place, sources),
        )
        for finding in findings
        for place in finding.places
    ]
    entries.sort(key=lambda entry: (entry.path, entry.id, entry.scope, entry.text))
    content = {"format": FORMAT, "findings": [asdict(entry) for entry in entries]}
    write_file(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return len(entries)


def compare(
    path: Path, findings: Iterable[Finding], sources: Sources, active: Collection[str]
) -> tuple[list[Finding], list[str]]:
    """The findings that a baseline doesn't accept, and a line for each fault that has vanished.

    Args:
        path: of the baseline.
        findings: all of the project.
        sources: the project's files.
        active: ids of the rules that were looked for.

    Raises:
        CommandError: the baseline can't be read.
    """
    entries = _read(path)
    # Of two equal entries, each accepts one place.
    accepted = Counter(entry.fingerprint for entry in entries)
    kept: list[Finding] = []
    for finding in findings:
        places: list[Place] = []
        for place in finding.places:
            identity = fingerprint(finding, place, sources)
            if accepted[identity]:
                accepted[identity] -= 1
            else:
                places.append(place)
        if places:
            kept.append(replace(finding, places=tuple(places)))
    lines: list[str] = []
    for entry in entries:
        if entry.id in active and accepted[entry.fingerprint]:
            accepted[entry.fingerprint] -= 1
            what = f"{entry.id} in {entry.path} is in {path.name} and no longer in the code"
            lines.append(f"{what}: {entry.text}")
    if lines:
        lines.append(f"to remove what has vanished from {path.name}: --write-baseline")
    return kept, lines


def _read(path: Path) -> list[Entry]:
    """The entries of a baseline.

    Raises:
        CommandError: it can't be read.
    """
    if not path.exists():
        raise CommandError(f"{path}: no such baseline; {ADVICE}")
    try:
        content = json.loads(read_bytes(path))
        if content["format"] != FORMAT:
            raise ValueError(f"format is {content['format']!r:.100}, expected {FORMAT}")
        entries = [Entry(**entry) for entry in content["findings"]]
        if not all(isinstance(text, str) for entry in entries for text in asdict(entry).values()):
            raise TypeError
        return entries
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise CommandError(f"{path}: not a baseline; {ADVICE}") from None
    except ValueError as error:
        raise CommandError(f"{path}: {error}; not a baseline; {ADVICE}") from None
