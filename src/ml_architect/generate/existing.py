"""Reads answers to the template's questions from an existing project's own files."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from packaging.specifiers import SpecifierSet
from pydantic import BaseModel, Field, StrictInt, ValidationError

from ..errors import CommandError
from .requirements import NAME as REQUIREMENTS

MANIFEST = "pyproject.toml"

PYTHONS = tuple(f"3.{minor}" for minor in range(11, 30))
"""From the oldest version that the template supports. The template checks the newest."""

LICENSES = {
    "mit": "MIT",
    "mit license": "MIT",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "apache-2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
}
"""SPDX names by common spellings in `license`, or in the last part of a classifier."""

NOT_PACKAGES = frozenset(
    {"tests", "test", "docs", "examples", "scripts", "notebooks", "benchmarks"}
)
"""Folders at the root that may have an `__init__.py` but aren't the project's package."""

OTHER_LICENSE = "LicenseRef-Proprietary"

LICENSE_FILES = re.compile(r"(licen[cs]es?|copying)\b.*", re.IGNORECASE)
LICENSE_TEXTS = {
    "MIT": ("permission is hereby granted, free of charge", "the software is provided"),
    "Apache-2.0": ("apache license", "version 2.0, january 2004"),
    "BSD-3-Clause": ("redistribution and use in source and binary forms", "neither the name of"),
}
"""Phrases of a licence's text that no other has together. Their words are separated by a space."""


MAX_LICENSE = 100_000  # bytes that are read of a file that may be one

Short = Annotated[str, Field(max_length=1000)]


class Table(BaseModel):
    """The entries of `[project]` that are read or completed."""

    description: str = ""
    requires_python: Short = Field(default="", alias="requires-python")
    license: str | dict[str, str] = ""
    authors: list[dict[str, str]] = []
    classifiers: list[str] = []
    dependencies: list[Short] = []
    extras: dict[str, list[Short]] = Field(default={}, alias="optional-dependencies")
    scripts: dict[str, Any] = {}
    dynamic: list[str] = []


class Group(BaseModel):
    """A group of Poetry's."""

    dependencies: dict[str, Any] = {}


class Poetry(BaseModel):
    """The entries of `[tool.poetry]` that are read or completed."""

    authors: list[Any] = []
    dependencies: dict[str, Any] = {}
    before: dict[str, Any] = Field(default={}, alias="dev-dependencies")
    group: dict[str, Group] = {}
    scripts: dict[str, Any] = {}


class Ruff(BaseModel):
    """The setting of ruff that is compared."""

    line_length: StrictInt = Field(default=88, alias="line-length")


class Tools(BaseModel):
    """The tables in `[tool]` that are read."""

    poetry: Poetry = Poetry()
    ruff: Ruff = Ruff()


class Content(BaseModel):
    """What is read or completed in a `pyproject.toml`."""

    project: Table = Table()
    tool: Tools = Tools()
    groups: dict[str, list[Any]] = Field(default={}, alias="dependency-groups")
    build: dict[str, Any] = Field(default={}, alias="build-system")


@dataclass(frozen=True, slots=True)
class Existing:
    """Answers that needn't be asked, and remarks for the user."""

    answers: dict[str, str]
    remarks: list[str]


def read_existing(project: Path, package: str | None = None) -> Existing:
    """Read name, package, description, author, Python version and licence.

    Args:
        project: its root.
        package: the package, if the user has named it.

    See https://packaging.python.org/en/latest/specifications/pyproject-toml/.

    Raises:
        CommandError: there is neither a `pyproject.toml` with the project's name nor a
            `requirements.txt`.
    """
    table = read_table(project)
    remarks = [] if (project / MANIFEST).exists() else [f"name: {table['name']}, as the folder"]
    name = str(table["name"])
    answers = {
        "project_name": name,
        "package_name": package or _package(project, name),
        "starter": "blank",  # the project has its own data and model
        "license": _license(project, table, remarks),
        **_author(table),
    }
    if description := " ".join(str(table.get("description", "")).split()):
        answers["description"] = description
    if python := _python(table, remarks):
        answers["python_version"] = python
    return Existing(answers, remarks)


def read_table(project: Path) -> dict[str, Any]:
    """The table `[project]`, or what stands for it.

    Raises:
        CommandError: it can't be read, or lacks a name.
    """
    if not project.is_dir():
        raise CommandError(f"{project}: no such folder; expected the root of a project")
    file = project / MANIFEST
    if not file.exists():
        return _from_requirements(project)
    content = read_toml(file)
    try:
        Content.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        name, reason = ".".join(map(str, first["loc"])), first["msg"].partition(" or instance")[0]
        raise CommandError(f"{file}: {name}: {reason}. Fix it first") from None
    table: Any = content.get("project")
    if table is None and isinstance(poetry := content.get("tool", {}).get("poetry"), dict):
        table = _from_poetry(cast("dict[str, Any]", poetry))
    if not isinstance(table, dict) or not isinstance(
        cast("dict[str, Any]", table).get("name"), str
    ):
        raise CommandError(f"{file} has no [project] table with a name: expected the standard one")
    return cast("dict[str, Any]", table)


def read_toml(file: Path) -> dict[str, Any]:
    """Parse a file of the owner's.

    Raises:
        CommandError: it can't be read.
    """
    if not file.is_file():
        raise CommandError(f"{file} isn't a file. Replace it by one first")
    try:
        return tomllib.loads(file.read_bytes().decode())
    except RecursionError:
        raise CommandError(f"{file} can't be read: it is nested too deeply. Fix it first") from None
    except ValueError as error:
        raise CommandError(f"{file} can't be read: {error}. Fix it first") from None


def installation(project: Path) -> str:
    """The command that installs the project, with the tool that it uses already."""
    manifest = project / MANIFEST
    # Not parsed, since an update may have left a conflict in it.
    text = manifest.read_text(encoding="utf-8", errors="replace") if manifest.is_file() else ""
    if re.search(r"^build-backend\s*=.*poetry", text, re.MULTILINE):
        return "poetry lock && poetry install --all-extras"
    if (project / "uv.lock").exists():
        return "uv sync"
    return "pip install --editable '.[dev]'"


def _from_requirements(project: Path) -> dict[str, Any]:
    """The table of a project that consists of scripts and a `requirements.txt`."""
    legacy = [name for name in ("setup.py", "setup.cfg") if (project / name).is_file()]
    if legacy or not (project / REQUIREMENTS).is_file():
        beside = f", and {legacy[0]} can't be read" if legacy else ""
        raise CommandError(
            f"{project} has no pyproject.toml, which has its name and dependencies{beside}. Write "
            "one with a [project] table, or start a project: ml-architect new DEST"
        )
    return {"name": project.name}


def _from_poetry(poetry: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `[tool.poetry]` under the names that they have in `[project]`."""
    same = ("name", "description", "license", "classifiers")
    table = {name: poetry[name] for name in same if name in poetry}
    authors = [re.fullmatch(r"([^<]*?)\s*(?:<(.+)>)?", str(a)) for a in poetry.get("authors", ())]
    table["authors"] = [
        {key: text for key, text in zip(("name", "email"), match.groups(), strict=True) if text}
        for match in authors
        if match
    ]
    python = poetry.get("dependencies", {}).get("python")
    if isinstance(python, str):
        table["requires-python"] = standard_versions(python)
    return table


def standard_versions(given: str) -> str:
    """Poetry's `^3.11` and `~3.11` as the standard's specifiers; others are the same in both."""
    bounds: list[str] = []
    for part in re.split(r"[,\s]+", re.sub(r"(?<=[<>=!~^])\s+", "", given.strip())):
        match = re.fullmatch(r"([~^])(\d+)(?:\.(\d+))?(?:\.\d+)*", part)
        if match and (match[1] == "^" or match[3] is None):
            bounds += [f">={part[1:]}", f"<{int(match[2]) + 1}"]
        elif match:
            bounds += [f">={part[1:]}", f"<{match[2]}.{int(match[3]) + 1}"]
        else:
            bounds.append(part if part[:1] in "<>=!~" else f"=={part}")
    return ",".join(bounds)


def _package(project: Path, name: str) -> str:
    """The existing package, or the name of a new one.

    Raises:
        CommandError: it isn't in `src`, or there are several and none has the project's name.
    """
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "project"
    packages = _packages(project / "src")
    if slug in packages:
        return slug
    if len(packages) == 1:
        return packages[0]
    if packages:
        raise CommandError(
            f"src/ has several packages ({', '.join(packages)}) and none is called {slug}. Name "
            f"one: --data {shlex.quote(f'package_name={packages[0]}')}"
        )
    if others := [package for package in _packages(project) if package not in NOT_PACKAGES]:
        name = shlex.quote(others[0])
        raise CommandError(
            f"the package is in {others[0]}/, but the template's is in src/. First: mkdir src && "
            f"git mv {name} src/ && git commit, and configure your build backend; or add "
            f"another package: --data package_name={slug}"
        )
    return slug


def _packages(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("*/__init__.py"))


def _author(table: Mapping[str, Any]) -> dict[str, str]:
    authors: list[dict[str, str]] = table.get("authors") or [{}]
    first = authors[0]
    answers = {"author_name": first.get("name"), "author_email": first.get("email")}
    return {name: str(value) for name, value in answers.items() if value}


def _license(project: Path, table: Mapping[str, Any], remarks: list[str]) -> str:
    entry: Any = table.get("license", "")
    text: Any = entry if isinstance(entry, str) else entry.get("text", "")
    classifiers: list[str] = table.get("classifiers") or []
    ends = [classifier.rpartition(" :: ")[2] for classifier in classifiers]
    names = [str(text), *(end for end in ends if "license" in end.lower())]
    for name in names:
        if known := LICENSES.get(name.strip().lower()):
            return known
    given = next(filter(None, names), "")
    if given:
        remarks.append(f"license: {given} stays; the template doesn't have its text")
        return OTHER_LICENSE

    named = [] if isinstance(entry, str) or "file" not in entry else [str(entry["file"])]
    files = sorted(path.name for path in project.iterdir() if LICENSE_FILES.fullmatch(path.name))
    known = {name for file in [*named, *files] if (name := _recognize(project / file))}
    if len(known) == 1:  # with two licences, a person has to choose
        remarks.append(f"license: {min(known)}, as in {(named or files)[0]}")
        return known.pop()
    if files:
        remarks.append(f"license: {files[0]} stays; the template doesn't have its text")
    else:
        remarks.append("license: there is none, so nobody else may use the project")
    return OTHER_LICENSE


def _recognize(file: Path) -> str | None:
    """The SPDX name of a licence by its text."""
    if not file.is_file():  # it may be a device
        return None
    with file.open("rb") as opened:
        text = " ".join(opened.read(MAX_LICENSE).decode(errors="replace").lower().split())
    found = [name for name, words in LICENSE_TEXTS.items() if all(word in text for word in words)]
    return found[0] if len(found) == 1 else None  # a file with several is for a person to read


def _python(table: Mapping[str, Any], remarks: list[str]) -> str | None:
    given = table.get("requires-python")
    if not isinstance(given, str):
        return None
    try:
        specifiers = SpecifierSet(given)
        supported = [version for version in PYTHONS if specifiers.contains(f"{version}.99")]
    except ValueError:
        raise CommandError(
            f"requires-python = {given!r}: expected a version, such as '>=3.11'"
        ) from None
    if not supported:
        raise CommandError(
            f"requires-python = {given!r}: the template's files need Python {PYTHONS[0]} or newer"
        )
    if specifiers.contains("3.10.99"):
        remarks.append(
            f"requires-python: {given} stays, but the added files need {supported[0]}; raise it"
        )
    return supported[0]
