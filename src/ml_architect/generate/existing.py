"""Reads answers to the template's questions from an existing project's `pyproject.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel, Field, ValidationError

from ..errors import CommandError

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


class Table(BaseModel):
    """The entries of `[project]` that are read."""

    description: str = ""
    requires_python: str = Field("", alias="requires-python")
    license: str | dict[str, str] = ""
    authors: list[dict[str, str]] = []
    classifiers: list[str] = []
    dependencies: list[str] = []
    extras: dict[str, list[str]] = Field({}, alias="optional-dependencies")


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
        CommandError: there is no `pyproject.toml` with the project's name.
    """
    table = read_table(project)
    remarks: list[str] = []
    name = str(table["name"])
    answers = {
        "project_name": name,
        "package_name": package or _package(project, name),
        "starter": "blank",  # the project has its own data and model
        "license": _license(table, remarks),
        **_author(table),
    }
    if description := " ".join(str(table.get("description", "")).split()):
        answers["description"] = description
    if python := _python(table, remarks):
        answers["python_version"] = python
    return Existing(answers, remarks)


def read_table(project: Path) -> dict[str, Any]:
    """The table `[project]`.

    Raises:
        CommandError: it can't be read, or lacks a name.
    """
    if not project.is_dir():
        raise CommandError(f"{project}: no such folder; expected the root of a project")
    file = project / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CommandError(
            f"{project} has no pyproject.toml, which has its name and dependencies. Write one "
            "with a [project] table, or start a project: ml-architect new DEST"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} can't be read: {error}. Fix it first") from None
    table: Any = content.get("project")
    if not isinstance(table, dict) or not isinstance(
        cast("dict[str, Any]", table).get("name"), str
    ):
        poetry = " (Poetry 2 reads it too)" if "poetry" in content.get("tool", {}) else ""
        raise CommandError(
            f"{file} has no [project] table with a name: expected the standard one{poetry}"
        )
    try:
        Table.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise CommandError(f"{file}: project.{name}: {first['msg']}. Fix it first") from None
    return cast("dict[str, Any]", table)


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
            f"one: --data package_name={packages[0]}"
        )
    if others := [package for package in _packages(project) if package not in NOT_PACKAGES]:
        raise CommandError(
            f"the package is in {others[0]}/, but the template's is in src/. First: mkdir src && "
            f"git mv {others[0]} src/ && git commit, and configure your build backend; or add "
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


def _license(table: Mapping[str, Any], remarks: list[str]) -> str:
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
    else:
        remarks.append("license: pyproject.toml names none, so nobody else may use the project")
    return OTHER_LICENSE


def _python(table: Mapping[str, Any], remarks: list[str]) -> str | None:
    given = table.get("requires-python")
    if not isinstance(given, str):
        return None
    try:
        specifiers = SpecifierSet(given)
    except InvalidSpecifier:
        raise CommandError(
            f"requires-python = {given!r}: expected a version, such as '>=3.11'"
        ) from None
    supported = [version for version in PYTHONS if specifiers.contains(f"{version}.99")]
    if not supported:
        raise CommandError(
            f"requires-python = {given!r}: the template's files need Python {PYTHONS[0]} or newer"
        )
    if specifiers.contains("3.10.99"):
        remarks.append(
            f"requires-python: {given} stays, but the added files need {supported[0]}; raise it"
        )
    return supported[0]
