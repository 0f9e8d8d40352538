"""What an existing project says of itself in its `pyproject.toml`, as answers to our questions."""

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
"""From the oldest that the template supports; whether it knows one is the blueprint's to say."""

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
"""What people write, in `license` or as the last part of a classifier, and its SPDX name."""

BESIDE = frozenset({"tests", "test", "docs", "examples", "scripts", "notebooks", "benchmarks"})
"""Folders at the root that are packages for Python and not the project's."""

OTHER_LICENSE = "LicenseRef-Proprietary"


class Table(BaseModel):
    """What of `[project]` is read, as its specification has it."""

    description: str = ""
    requires_python: str = Field("", alias="requires-python")
    license: str | dict[str, str] = ""
    authors: list[dict[str, str]] = []
    classifiers: list[str] = []
    dependencies: list[str] = []
    extras: dict[str, list[str]] = Field({}, alias="optional-dependencies")


@dataclass(frozen=True, slots=True)
class Existing:
    """Answers that needn't be asked, and what a person has to know about them."""

    answers: dict[str, str]
    remarks: list[str]


def read_existing(project: Path, package: str | None = None) -> Existing:
    """Read name, package, description, author, Python version and licence.

    Args:
        project: its root.
        package: the package, if a person has named it.

    See https://packaging.python.org/en/latest/specifications/pyproject-toml/.

    Raises:
        CommandError: there is no `pyproject.toml`, or none that says the project's name.
    """
    said = read_table(project)
    remarks: list[str] = []
    name = str(said["name"])
    answers = {
        "project_name": name,
        "package_name": package or _package(project, name),
        "starter": "blank",  # the one for people who bring everything
        "license": _license(said, remarks),
        **_author(said),
    }
    if description := " ".join(str(said.get("description", "")).split()):
        answers["description"] = description
    if python := _python(said, remarks):
        answers["python_version"] = python
    return Existing(answers, remarks)


def read_table(project: Path) -> dict[str, Any]:
    """The table `[project]`.

    Raises:
        CommandError: it can't be read, or lacks a name.
    """
    if not project.is_dir():
        raise CommandError(f"{project}: no such folder; expected a project's")
    file = project / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CommandError(
            f"{project} has no pyproject.toml, which says its name and what it needs. Write one "
            "with a [project] table, or start a project: ml-architect new DEST"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} can't be read: {error}. Mend it first") from None
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
        raise CommandError(f"{file}: project.{name}: {first['msg']}. Mend it first") from None
    return cast("dict[str, Any]", table)


def _package(project: Path, name: str) -> str:
    """The package that is there, or the name of one that the template will begin.

    Raises:
        CommandError: it lies beside `src`, or there are several and none has the project's name.
    """
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "project"
    found = _packages(project / "src")
    if slug in found:
        return slug
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandError(
            f"src/ has several packages ({', '.join(found)}) and none is called {slug}. Name one: "
            f"--data package_name={found[0]}"
        )
    if beside := [each for each in _packages(project) if each not in BESIDE]:
        raise CommandError(
            f"the package lies in {beside[0]}/, and the template's in src/. First: mkdir src && "
            f"git mv {beside[0]} src/ && git commit, and tell your build backend; or begin another "
            f"package beside it: --data package_name={slug}"
        )
    return slug


def _packages(folder: Path) -> list[str]:
    return sorted(each.parent.name for each in folder.glob("*/__init__.py"))


def _author(said: Mapping[str, Any]) -> dict[str, str]:
    authors: list[dict[str, str]] = said.get("authors") or [{}]
    first = authors[0]
    named = {"author_name": first.get("name"), "author_email": first.get("email")}
    return {name: str(value) for name, value in named.items() if value}


def _license(said: Mapping[str, Any], remarks: list[str]) -> str:
    stated: Any = said.get("license", "")
    text: Any = stated if isinstance(stated, str) else stated.get("text", "")
    classifiers: list[str] = said.get("classifiers") or []
    ends = [each.rpartition(" :: ")[2] for each in classifiers]
    spoken = [str(text), *(end for end in ends if "license" in end.lower())]
    for each in spoken:
        if known := LICENSES.get(each.strip().lower()):
            return known
    given = next((each for each in spoken if each), "")
    if given:
        remarks.append(f"license: {given} stays; the template has no text of it to offer")
    else:
        remarks.append("license: pyproject.toml names none, so nobody else may use the project")
    return OTHER_LICENSE


def _python(said: Mapping[str, Any], remarks: list[str]) -> str | None:
    stated = said.get("requires-python")
    if not isinstance(stated, str):
        return None
    try:
        wanted = SpecifierSet(stated)
    except InvalidSpecifier:
        raise CommandError(f"requires-python = {stated!r}: expected such as '>=3.11'") from None
    fitting = [each for each in PYTHONS if wanted.contains(f"{each}.99")]
    if not fitting:
        raise CommandError(
            f"requires-python = {stated!r}: the template's files need Python {PYTHONS[0]} or newer"
        )
    if wanted.contains("3.10.99"):
        remarks.append(
            f"requires-python: {stated} stays, but what is added needs {fitting[0]}; raise it"
        )
    return fitting[0]
