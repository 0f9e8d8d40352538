"""What a review looks for: the command's options and `[tool.ml-architect.review]`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from ..errors import CommandError, load_yaml, nearest
from ..runs.run import read_bytes
from .findings import Rule, Stage
from .rules import NO_RULE, RULES

TABLE = "tool.ml-architect.review"
ANSWERS = ".copier-answers.yml"


@dataclass(frozen=True)
class Selection:
    """Ids of rules, or beginnings of ids; by default the rules that are on by default."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings(Selection):
    """The table of a project's pyproject.toml."""

    stage: str = ""
    exclude: tuple[str, ...] = ()
    """Patterns of paths below the project, such as `vendor/**`."""
    baseline: str = ""
    """Path below the project."""


def read_settings(root: Path) -> Settings:
    """The settings of a project; the defaults if it has none.

    Raises:
        CommandError: the file or a setting is invalid.
    """
    file = root / "pyproject.toml"
    if not file.is_file():
        return Settings()
    try:
        table: Any = tomllib.loads(read_bytes(file).decode())
        for name in TABLE.split("."):
            table = table.get(name, {})
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{file}: {error}") from None
    except AttributeError:
        table = None
    if not isinstance(table, dict):
        raise CommandError(f"{file}: expected [{TABLE}] to be a table")

    given = cast("dict[str, Any]", table)
    kinds = {field.name: type(field.default) for field in fields(Settings)}
    for name, value in given.items():
        if name not in kinds:
            hint = nearest(name, kinds, f"expected one of {', '.join(kinds)}")
            raise CommandError(f"{file}: {TABLE}.{name}: no such setting; {hint}")
        if kinds[name] is str and not isinstance(value, str):
            raise CommandError(f"{file}: {TABLE}.{name} is {value!r:.100}, expected a string")
        if kinds[name] is tuple:
            words = cast("list[Any]", value) if isinstance(value, list) else [None]
            if not all(isinstance(word, str) for word in words):
                raise CommandError(
                    f"{file}: {TABLE}.{name} is {value!r:.100}, expected a list of strings"
                )
            given[name] = tuple(words)
    return Settings(**given)


def choose_rules(options: Selection, settings: Settings, file: Path) -> list[Rule]:
    """The rules to look for; an option replaces the setting of its name.

    Raises:
        CommandError: a word is the beginning of no id.
    """
    for given, source in ((options, "--"), (settings, f"{file}: {TABLE}.")):
        for name, words in (("select", given.select), ("ignore", given.ignore)):
            for word in words:
                if not word or not any(rule.startswith(word) for rule in RULES):
                    raise CommandError(f"{source}{name}: {word or 'empty'}: {NO_RULE}")
    select, ignore = options.select or settings.select, options.ignore or settings.ignore
    return [
        rule
        for rule in RULES.values()
        if (rule.id.startswith(select) if select else rule.is_default)
        and not rule.id.startswith(ignore)
    ]


def find_stage(root: Path, option: str | None, settings: Settings) -> tuple[Stage, str]:
    """The stage of a project, and where it was given.

    Raises:
        CommandError: the stage in pyproject.toml doesn't exist.
    """
    if option is not None:
        return Stage[option.upper()], "--stage"
    names = [stage.name.lower() for stage in Stage]
    if settings.stage:
        if settings.stage not in names:
            hint = nearest(settings.stage, names, f"expected one of {', '.join(names)}")
            raise CommandError(
                f"{root / 'pyproject.toml'}: {TABLE}.stage: {settings.stage}: no such stage; {hint}"
            )
        return Stage[settings.stage.upper()], "pyproject.toml"
    answer = read_answers(root).get("stage")
    if isinstance(answer, str) and answer in names:
        return Stage[answer.upper()], ANSWERS
    return Stage.PROTOTYPE, "the default; --stage chooses another"


def read_answers(root: Path) -> dict[str, Any]:
    """The recorded answers of a generated project; none if it has no such file."""
    file = root / ANSWERS
    if not file.is_file():
        return {}
    try:
        content = load_yaml(read_bytes(file).decode())
    except (ValueError, CommandError):
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def is_excluded(path: str, patterns: Iterable[str]) -> bool:
    """Whether a path, or a folder that contains it, matches a pattern; `**` matches folders."""
    return any(_expression(pattern).match(path) for pattern in patterns)


def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/?|\*|\?)", pattern.strip("/"))
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(special.get(part, re.escape(part)) for part in parts) + "(?:/|$)")
