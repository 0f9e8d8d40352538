"""Adds to a project's own `pyproject.toml` and `.gitignore` what they lack."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import tomlkit
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from tomlkit.exceptions import TOMLKitError

from ..errors import CommandError
from .existing import read_toml, standard_versions
from .requirements import read_requirements

ELSEWHERE = {
    "ruff": ("ruff.toml", ".ruff.toml"),
    "pyright": ("pyrightconfig.json",),
    "pytest": ("pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg"),
    "importlinter": (".importlinter", "setup.cfg"),
}
"""Other files that may have a tool's settings; a second set would be ignored or contradict them."""

PYRIGHT_EXCLUDES = ("**/node_modules", "**/__pycache__", "**/.*")
"""What pyright excludes by default, unless the settings exclude something."""

YOURS = "    # Yours: what your own code needs.\n"
"""The line of the template's dependencies below which the owner's belong."""

AS_TABLES = (
    "Nothing can be added safely: first write inline tables and dotted keys as tables, such as "
    "[project.optional-dependencies]"
)

LEFT_ALONE = (
    "your own code is left alone by ruff and pyright; to have it checked, remove it from "
    "extend-exclude and exclude in pyproject.toml"
)


@dataclass(slots=True)
class Manifest:
    """A `pyproject.toml` with what was missing, the additions, and remarks on the rest."""

    text: str
    added: list[str] = field(default_factory=list[str])
    remarks: list[str] = field(default_factory=list[str])


def add_missing(project: Path, rendered: str, owned: Sequence[str] = ()) -> Manifest:
    """Add the missing entries of the template's `pyproject.toml`; every old line is unchanged.

    Args:
        project: the folder with the project's own `pyproject.toml`.
        rendered: the text of the template's.
        owned: the owner's code, which the template's linter and type checker leave alone.

    Raises:
        CommandError: nothing can be added safely.
    """
    before = (project / "pyproject.toml").read_bytes().decode()
    try:
        return _add_missing(project, before, rendered, owned)
    except (TOMLKitError, ValueError) as error:  # of tomlkit and packaging
        raise CommandError(f"pyproject.toml: {error}. {AS_TABLES}") from None


def _add_missing(project: Path, before: str, rendered: str, owned: Sequence[str]) -> Manifest:
    mine: Any = tomlkit.parse(before)
    theirs: Any = tomlkit.parse(rendered)  # unlike tomllib, it keeps comments
    reasons = dict(re.findall(r'^\s*"([^"]+)", # (.+)$', rendered, flags=re.MULTILINE))
    manifest = Manifest("")
    if "project" not in mine or _has_poetry_dependencies(mine):
        _require_in_poetry(mine["tool"]["poetry"], theirs["project"], reasons, manifest)
    else:
        _require(project, mine, theirs["project"], reasons, manifest)
    table = mine["project"] if "project" in mine else mine["tool"]["poetry"]
    _add_command(project, table, theirs["project"]["scripts"], manifest)
    manifest.remarks += _short_lines(project, mine, theirs["tool"]["ruff"]["line-length"])
    _add_tools(project, mine, theirs["tool"], owned, manifest)
    manifest.text = tomlkit.dumps(mine)
    _require_kept(before, manifest.text)
    return manifest


def create(project: Path, rendered: str, readme: str | None, owned: Sequence[str]) -> Manifest:
    """The template's `pyproject.toml` with the requirements of the project's `requirements.txt`.

    Args:
        project: has no `pyproject.toml`.
        rendered: the text of the template's.
        readme: the name of the project's own, if it has one.
        owned: as in `add_missing`.
    """
    manifest = Manifest("")
    requirements = _carry(project, tomlkit.parse(rendered)["project"]["dependencies"], manifest)
    lines = "".join(f"    {tomlkit.string(item).as_string()},\n" for item in requirements)
    theirs: Any = tomlkit.parse(rendered.replace(YOURS, YOURS + lines, 1))
    if readme:
        theirs["project"]["readme"] = readme
    for name, settings in theirs["tool"].items():
        _leave_alone(name, settings, owned, manifest)
    manifest.text = tomlkit.dumps(theirs)
    return manifest


def _require(
    project: Path, mine: Any, theirs: Any, reasons: dict[str, str], manifest: Manifest
) -> None:
    """Add requirements to `[project]`, and the development tools as an extra and a group."""
    table = mine["project"]
    dynamic = table.get("dynamic", ())
    if "dependencies" in dynamic:
        names = ", ".join(map(str, theirs["dependencies"]))
        manifest.remarks.append(
            f"dependencies are dynamic, so add them yourself where your build reads them: {names}"
        )
    else:
        array = table.setdefault("dependencies", tomlkit.array())
        if len(array):
            _remark_on_others(project, table, manifest)
        else:
            _extend(array, _carry(project, array, manifest), {})
        manifest.remarks += _excluding(array, theirs["dependencies"])
        manifest.added += _extend(array, theirs["dependencies"], reasons)
    if "optional-dependencies" in dynamic:
        return
    tools = theirs["optional-dependencies"]["dev"]
    extras = table.setdefault("optional-dependencies", tomlkit.table())
    if "dev" not in extras:
        extras["dev"] = tomlkit.array()
        extras.add(tomlkit.nl())
    manifest.remarks += _excluding(extras["dev"], tools)
    manifest.added += _extend(extras["dev"], tools, reasons)
    if "poetry" not in mine.get("tool", {}):  # Poetry takes no project as its own requirement
        _add_group(mine, f"{table['name']}[dev]", manifest)


def _add_group(mine: Any, extra: str, manifest: Manifest) -> None:
    """Let `uv sync` install the extra: it installs the group `dev`, and no extra."""
    groups = mine.setdefault("dependency-groups", tomlkit.table())
    array = groups.setdefault("dev", tomlkit.array())
    if extra not in array:
        array.append(extra)
        manifest.added.append(f"{extra} to the group dev, for uv")


def _has_poetry_dependencies(mine: Any) -> bool:
    """Whether Poetry reads its own tables; it ignores them once `[project]` has dependencies."""
    standard = {"dependencies", "optional-dependencies"} & mine["project"].keys()
    return not standard and "dependencies" in mine.get("tool", {}).get("poetry", {})


def _require_in_poetry(
    poetry: Any, theirs: Any, reasons: dict[str, str], manifest: Manifest
) -> None:
    """Add requirements to Poetry's own tables, the development tools to its group `dev`."""
    dependencies = poetry.setdefault("dependencies", tomlkit.table())
    if "dev-dependencies" in poetry:  # before Poetry 1.2
        tools = poetry["dev-dependencies"]
    else:
        group = poetry.setdefault("group", tomlkit.table(is_super_table=True))
        dev = group.setdefault("dev", tomlkit.table(is_super_table=True))
        tools = dev.setdefault("dependencies", tomlkit.table())
    required = ((dependencies, "dependencies"), (tools, "optional-dependencies"))
    for table, name in required:
        present = {canonicalize_name(key): key for key in table}
        texts = theirs[name] if name == "dependencies" else theirs[name]["dev"]
        for text in map(str, texts):
            requirement = Requirement(text)
            if key := present.get(canonicalize_name(requirement.name)):
                given = standard_versions(str(table[key])) if isinstance(table[key], str) else ""
                manifest.remarks += _excluding([f"{key}{given.replace('==*', '')}"], [text])
                continue
            version: Any = str(requirement.specifier)
            if requirement.extras:
                version = tomlkit.inline_table()
                version.update(
                    version=str(requirement.specifier), extras=sorted(requirement.extras)
                )
            item: Any = tomlkit.item(version)
            table.add(requirement.name, item.comment(reasons[text]) if text in reasons else item)
            manifest.added.append(text)


def _add_command(project: Path, table: Any, scripts: Any, manifest: Manifest) -> None:
    for name, entry in scripts.items():
        package = entry.partition(".")[0]
        has_cli = (project / "src" / package / "cli.py").exists()  # with another `main`
        if "scripts" not in table.get("dynamic", ()) and not has_cli:
            is_new = "scripts" not in table
            mine = table.setdefault("scripts", tomlkit.table())
            if name not in mine:
                mine[name] = entry
                manifest.added.append(f"the command {name}")
            if is_new:
                mine.add(tomlkit.nl())


def _add_tools(
    project: Path, mine: Any, theirs: Any, owned: Sequence[str], manifest: Manifest
) -> None:
    """Add the settings of tools for which the project has none."""
    backend = str(mine.get("build-system", {}).get("build-backend", "setuptools"))
    tools = mine.setdefault("tool", tomlkit.table(is_super_table=True))
    for name, settings in theirs.items():
        elsewhere = any((project / file).is_file() for file in ELSEWHERE.get(name, ()))
        if name == "hatch" and not backend.startswith("hatchling"):
            continue  # the project keeps its build backend
        if name not in tools and not elsewhere:
            _leave_alone(name, settings, owned, manifest)
            tools[name] = settings
            manifest.added.append(f"[tool.{name}]")
    if not tools:
        del mine["tool"]


def _leave_alone(name: str, settings: Any, owned: Sequence[str], manifest: Manifest) -> None:
    """Exclude the owner's code from a linter or type checker, until the owner wants it checked."""
    checked = [path for path in owned if path.partition("/")[0] in settings.get("include", ())]
    if name == "ruff" and owned:
        excluded = settings["extend-exclude"]
        comment = excluded.trivia.comment.removeprefix("# ")
        settings["extend-exclude"] = array = tomlkit.array()
        for path in excluded:
            array.add_line(path, comment=comment)
        for path in owned:  # with the dot, since ruff takes `data` for every folder of this name
            array.add_line(f"./{path}", comment="yours")
        array.add_line(indent="")  # the closing bracket
        trivia = settings["extend-exclude"].trivia  # the old comment, now beside its path
        trivia.comment_ws = trivia.comment = ""
        settings["force-exclude"] = True  # also for the files that pre-commit names
    elif name == "pyright" and checked:
        settings["exclude"] = tomlkit.array().multiline(multiline=True)
        settings["exclude"].extend([*PYRIGHT_EXCLUDES, *checked])
    else:
        return
    if LEFT_ALONE not in manifest.remarks:
        manifest.remarks.append(LEFT_ALONE)


def _carry(project: Path, array: Any, manifest: Manifest) -> list[str]:
    """What `requirements.txt` names and the array doesn't."""
    requirements = read_requirements(project)
    present = set(map(_name, array))
    missing = [item for item in requirements.found if _name(item) not in present]
    manifest.remarks += requirements.remarks
    manifest.remarks += _excluding(requirements.found, array)
    manifest.added += missing
    return missing


def _remark_on_others(project: Path, table: Any, manifest: Manifest) -> None:
    """Name what only `requirements.txt` has: beside dependencies, it may be a lock file."""
    extras = table.get("optional-dependencies", {}).values()
    present = {_name(item) for array in (table["dependencies"], *extras) for item in array}
    found = read_requirements(project).found
    if others := [item for item in found if _name(item) not in present]:
        manifest.remarks.append(
            f"requirements.txt names {len(others)} more than pyproject.toml, such as {others[0]}: "
            "add what your code imports to dependencies"
        )


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
        raise CommandError(f"pyproject.toml has inline tables or dotted keys. {AS_TABLES}")


def _contains(after: Any, before: Any) -> bool:
    """Whether nothing was lost: tables may have more keys, and lists more items at the end."""
    if isinstance(before, dict):
        entries = cast("dict[str, Any]", before)
        return isinstance(after, dict) and all(
            name in after and _contains(after[name], value) for name, value in entries.items()
        )
    if isinstance(before, list):
        items = cast("list[Any]", before)
        return isinstance(after, list) and all(
            _contains(one, other)
            for one, other in zip_longest(cast("list[Any]", after)[: len(items)], items)
        )
    return after == before or (after != after and before != before)  # nan equals nothing


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
        settings = read_toml(file)
    length: Any = needed if settings is None else settings.get("line-length", 88)
    if not isinstance(length, int) or length >= needed:
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
