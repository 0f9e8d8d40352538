"""Reads what a project requires from its `requirements.txt`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from ..errors import CommandError

NAME = "requirements.txt"
INCLUDE = re.compile(r"(?:-r|--requirement)[\s=]*(\S+)")
ITSELF = re.compile(r"(?:-e|--editable)?[\s=]*\.(?:\[[\w,-]+\])?/?")


@dataclass(frozen=True, slots=True)
class Requirements:
    """Requirements as `pyproject.toml` states them, and remarks on lines that it can't state."""

    found: list[str] = field(default_factory=list[str])
    remarks: list[str] = field(default_factory=list[str])


def read_requirements(project: Path) -> Requirements:
    """Read the file and those that it includes; no requirements if there is none.

    Raises:
        CommandError: a file can't be read.
    """
    requirements = Requirements()
    if (project / NAME).is_file():
        _read(project / NAME, requirements, set())
    return requirements


def _read(file: Path, requirements: Requirements, done: set[Path]) -> None:
    done.add(file.resolve())
    for line in _lines(file):
        if include := INCLUDE.fullmatch(line):
            other = file.parent / include[1]
            if other.resolve() not in done:
                _read(other, requirements, done)
        elif not ITSELF.fullmatch(line):
            _take(file, line, requirements)


def _take(file: Path, line: str, requirements: Requirements) -> None:
    """Take one line, or remark on it."""
    try:
        requirement = Requirement(re.split(r"\s--", line)[0])  # without --hash
    except InvalidRequirement:
        requirement = None  # an option, a path or the address of a repository
    if requirement is None or requirement.url:  # which hatchling refuses
        requirements.remarks.append(f"{file.name}: pyproject.toml doesn't state {line}")
    elif str(requirement) not in requirements.found:
        requirements.found.append(str(requirement))


def _lines(file: Path) -> Iterator[str]:
    """Logical lines without comments."""
    try:
        content = file.read_bytes()
        # PowerShell's `pip freeze > requirements.txt` writes UTF-16.
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"{file} can't be read: {reason}. Fix it first") from None
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if stripped := re.sub(r"(^|\s)#.*", "", line).strip():
            yield stripped
