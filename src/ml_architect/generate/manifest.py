"""Adds to a project's own `pyproject.toml` and `.gitignore` what they lack."""

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
"""Other files that may have a tool's settings; a second set would be ignored or contradict them."""


def add_missing(project: Path, rendered: str) -> tuple[str, list[str], list[str]]:
    """Add the missing entries of the template's `pyproject.toml`.

    Args:
        project: the folder with the project's own `pyproject.toml`.
        rendered: the text of the template's.

    Returns:
        The new text, with every old line unchanged; the additions; and remarks on entries that are
        incompatible with the template's files.
    """
    text = (project / "pyproject.toml").read_bytes().decode()
    before = text
    mine: Any = tomlkit.parse(text)
    theirs: Any = tomlkit.parse(rendered)  # unlike tomllib, it keeps comments
    reasons = dict(re.findall(r'^\s*"([^"]+)", # (.+)$', rendered, flags=re.MULTILINE))
    table, required = mine["project"], theirs["project"]
    added: list[str] = []
    remarks: list[str] = []
    if "dependencies" not in table.get("dynamic", ()):
        if "dependencies" not in table:
            table["dependencies"] = tomlkit.array()
        remarks += _excluding(table["dependencies"], required["dependencies"])
        added += _extend(table["dependencies"], required["dependencies"], reasons)
    if "optional-dependencies" not in table.get("dynamic", ()):
        extras = table.setdefault("optional-dependencies", tomlkit.table())
        if "dev" not in extras:
            extras["dev"] = tomlkit.array()
            extras.add(tomlkit.nl())
        remarks += _excluding(extras["dev"], required["optional-dependencies"]["dev"])
        added += _extend(extras["dev"], required["optional-dependencies"]["dev"], reasons)
    for name, entry in required["scripts"].items():
        package = entry.partition(".")[0]
        has_cli = (project / "src" / package / "cli.py").exists()  # with another `main`
        if "scripts" not in table.get("dynamic", ()) and not has_cli:
            scripts = table.setdefault("scripts", tomlkit.table())
            if name not in scripts:
                scripts[name] = entry
                added.append(f"the command {name}")
    remarks += _short_lines(project, mine, theirs["tool"]["ruff"]["line-length"])
    tools = mine.setdefault("tool", tomlkit.table(is_super_table=True))
    for name, settings in theirs["tool"].items():
        elsewhere = any((project / file).is_file() for file in ELSEWHERE.get(name, ()))
        if name not in tools and not elsewhere:
            tools[name] = settings
            added.append(f"[tool.{name}]")
    if not tools:
        del mine["tool"]
    text = tomlkit.dumps(mine)
    _require_kept(before, text)
    return text, added, remarks


def _require_kept(before: str, after: str) -> None:
    """Refuse tables that an addition would change or break.

    Raises:
        CommandError: inline tables, or dotted keys at the root.
    """
    try:
        kept = _contains(tomllib.loads(after), tomllib.loads(before))
    except tomllib.TOMLDecodeError:
        kept = False
    if not kept:
        raise CommandError(
            "pyproject.toml has inline tables or dotted keys, to which nothing can be added "
            "safely. First write them as tables, such as [project.optional-dependencies]"
        )


def _contains(after: Any, before: Any) -> bool:
    """Whether nothing was lost: tables may have more keys, and lists more items at the end."""
    if isinstance(before, dict):
        entries = cast("dict[str, Any]", before)
        return isinstance(after, dict) and all(
            name in after and _contains(after[name], value) for name, value in entries.items()
        )
    if isinstance(before, list):
        items = cast("list[Any]", before)
        return isinstance(after, list) and after[: len(items)] == items
    return after == before


def _extend(array: Any, required: Iterable[str], reasons: dict[str, str]) -> list[str]:
    """Append the requirements whose packages the array doesn't name, one per line."""
    present = {name for name in map(_name, array) if name}
    missing = [str(item) for item in required if _name(item) not in present]
    if missing and len(array) and "\n" not in array.as_string():
        array.multiline(multiline=True)
    for requirement in missing:
        array.add_line(requirement, comment=reasons.get(requirement))
    if missing:
        array.add_line(indent="")  # the closing bracket
    return missing


def _excluding(mine: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """Requirements that no version can meet together with the template's."""
    required = {_name(item): str(item) for item in theirs}
    return [
        f"{requirement} stays, but the added files need {other}"
        for requirement in map(str, mine)
        if (other := required.get(_name(requirement)))
        and not _overlap(Requirement(requirement).specifier, Requirement(other).specifier)
    ]


def _overlap(one: SpecifierSet, other: SpecifierSet) -> bool:
    """Whether a version meets both: one of their bounds, or the version right after one."""
    bounds = [specifier.version.removesuffix(".*") for specifier in (*one, *other)]
    candidates = [version for bound in bounds for version in (bound, f"{bound}.0.1")]
    return not bounds or any(
        one.contains(version, prereleases=True) and other.contains(version, prereleases=True)
        for version in candidates
    )


def _short_lines(project: Path, mine: Any, needed: int) -> list[str]:
    """A remark if the project's own ruff would wrap lines of the template's files."""
    settings: Any = mine.get("tool", {}).get("ruff")
    for file in filter(Path.is_file, (project / name for name in ELSEWHERE["ruff"])):
        settings = tomlkit.parse(file.read_text(encoding="utf-8"))
    if settings is None or (length := int(settings.get("line-length", 88))) >= needed:
        return []
    return [f"ruff: line-length = {length} stays, but the template's files need {needed}"]


def _name(requirement: str) -> str | None:
    try:
        return canonicalize_name(Requirement(str(requirement)).name)
    except InvalidRequirement:
        return None


def add_missing_lines(mine: str, theirs: str) -> tuple[str, list[str]]:
    """Add missing patterns at the top of a `.gitignore`, since git uses the last that matches."""
    present = {_pattern(line) for line in mine.splitlines()}
    patterns = [line for line in theirs.splitlines() if line and not line.startswith("#")]
    missing = [line for line in patterns if _pattern(line) not in present]
    if not missing:
        return mine, []
    return "# ml-architect\n" + "\n".join(missing) + "\n\n" + mine, missing


def _pattern(line: str) -> str:
    """Normalize: `/runs/`, `runs/` and `runs` ignore the same folder at the root."""
    return line.strip().strip("/")
