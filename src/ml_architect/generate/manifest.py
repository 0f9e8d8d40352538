"""Adds to a project's own `pyproject.toml` and `.gitignore` what they lack, and changes nothing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import tomlkit
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from ..errors import CommandError

ELSEWHERE = {
    "ruff": ("ruff.toml", ".ruff.toml"),
    "pyright": ("pyrightconfig.json",),
    "pytest": ("pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg"),
    "importlinter": (".importlinter", "setup.cfg"),
}
"""Where a tool's settings may stand instead; a second set would be overruled or contradict."""


def add_missing(project: Path, rendered: str) -> tuple[str, list[str], list[str]]:
    """Add to a `pyproject.toml` what the template's has and it lacks.

    Args:
        project: whose `pyproject.toml` it is.
        rendered: the template's `pyproject.toml`.

    Returns:
        The new text, every old line of it as it was; what was added; and what of the project's own
        doesn't go with the template's files, for people.
    """
    text = (project / "pyproject.toml").read_bytes().decode()
    before = text
    mine: Any = tomlkit.parse(text)
    theirs: Any = tomlkit.parse(rendered)  # not tomllib, which forgets the comments
    reasons = dict(re.findall(r'^\s*"([^"]+)", # (.+)$', rendered, flags=re.MULTILINE))
    table, wanted = mine["project"], theirs["project"]
    added: list[str] = []
    against: list[str] = []
    if "dependencies" not in table.get("dynamic", ()):
        if "dependencies" not in table:
            table["dependencies"] = tomlkit.array()
        against += _excluding(table["dependencies"], wanted["dependencies"])
        added += _extend(table["dependencies"], wanted["dependencies"], reasons)
    if "optional-dependencies" not in table.get("dynamic", ()):
        extras = table.setdefault("optional-dependencies", tomlkit.table())
        if "dev" not in extras:
            extras["dev"] = tomlkit.array()
            extras.add(tomlkit.nl())
        against += _excluding(extras["dev"], wanted["optional-dependencies"]["dev"])
        added += _extend(extras["dev"], wanted["optional-dependencies"]["dev"], reasons)
    for name, entry in wanted["scripts"].items():
        package = entry.partition(".")[0]
        taken = (project / "src" / package / "cli.py").exists()  # its `main` is another
        if "scripts" not in table.get("dynamic", ()) and not taken:
            scripts = table.setdefault("scripts", tomlkit.table())
            if name not in scripts:
                scripts[name] = entry
                added.append(f"the command {name}")
    against += _short_lines(project, mine, theirs["tool"]["ruff"]["line-length"])
    tools = mine.setdefault("tool", tomlkit.table(is_super_table=True))
    for name, settings in theirs["tool"].items():
        elsewhere = any((project / each).is_file() for each in ELSEWHERE.get(name, ()))
        if name not in tools and not elsewhere:
            tools[name] = settings
            added.append(f"[tool.{name}]")
    if not tools:
        del mine["tool"]
    text = tomlkit.dumps(mine)
    _require_kept(before, text)
    return text, added, against


def _require_kept(before: str, after: str) -> None:
    """Refuse where tables are written so that an addition would change or break them.

    Raises:
        CommandError: an inline table or dotted keys at the root, into which nothing can be added.
    """
    try:
        kept = _contains(tomllib.loads(after), tomllib.loads(before))
    except tomllib.TOMLDecodeError:
        kept = False
    if not kept:
        raise CommandError(
            "pyproject.toml is written with inline tables or dotted keys, to which nothing can be "
            "added safely. First write them as tables, such as [project.optional-dependencies]"
        )


def _contains(after: Any, before: Any) -> bool:
    """Whether everything is still there: tables may have more keys, and lists more at the end."""
    if isinstance(before, dict):
        entries = cast("dict[str, Any]", before)
        return isinstance(after, dict) and all(
            name in after and _contains(after[name], value) for name, value in entries.items()
        )
    if isinstance(before, list):
        listed = cast("list[Any]", before)
        return isinstance(after, list) and after[: len(listed)] == listed
    return after == before


def _extend(array: Any, wanted: Iterable[str], reasons: dict[str, str]) -> list[str]:
    """Append the requirements whose packages the array doesn't name, each on a line."""
    present = {name for name in map(_name, array) if name}
    missing = [str(each) for each in wanted if _name(each) not in present]
    if missing and len(array) and "\n" not in array.as_string():
        array.multiline(multiline=True)
    for each in missing:
        array.add_line(each, comment=reasons.get(each))
    if missing:
        array.add_line(indent="")  # the bracket, on a line of its own
    return missing


def _excluding(mine: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """The requirements that no version can meet together with the template's."""
    wanted = {_name(each): str(each) for each in theirs}
    return [
        f"{each} stays, but what is added needs {ours}"
        for each in map(str, mine)
        if (ours := wanted.get(_name(each)))
        and not _overlap(Requirement(each).specifier, Requirement(ours).specifier)
    ]


def _overlap(one: SpecifierSet, other: SpecifierSet) -> bool:
    """Whether a version fits both: a bound of either does, or what comes right after it."""
    bounds = [each.version.removesuffix(".*") for each in (*one, *other)]
    near = [version for bound in bounds for version in (bound, f"{bound}.0.1")]
    return not bounds or any(
        one.contains(each, prereleases=True) and other.contains(each, prereleases=True)
        for each in near
    )


def _short_lines(project: Path, mine: Any, needed: int) -> list[str]:
    """Whether the project's own ruff would break lines of the template's."""
    places = [project / each for each in ELSEWHERE["ruff"]]
    stated: Any = mine.get("tool", {}).get("ruff")
    for place in filter(Path.is_file, places):
        stated = tomlkit.parse(place.read_text(encoding="utf-8"))
    if stated is None or (length := int(stated.get("line-length", 88))) >= needed:
        return []
    return [f"ruff: line-length = {length} stays, but the template's files need {needed}"]


def _name(requirement: str) -> str | None:
    try:
        return canonicalize_name(Requirement(str(requirement)).name)
    except InvalidRequirement:
        return None


def add_missing_lines(mine: str, theirs: str) -> tuple[str, list[str]]:
    """Add to a `.gitignore` the patterns that it lacks, on top: the last that fits is git's."""
    present = {_pattern(line) for line in mine.splitlines()}
    wanted = [line for line in theirs.splitlines() if line and not line.startswith("#")]
    missing = [line for line in wanted if _pattern(line) not in present]
    if not missing:
        return mine, []
    return "# ml-architect\n" + "\n".join(missing) + "\n\n" + mine, missing


def _pattern(line: str) -> str:
    """`/runs/`, `runs/` and `runs` ignore the same folder at the root."""
    return line.strip().strip("/")
