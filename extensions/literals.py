"""Filters that write any answer as a valid literal, and the function `source`.

Answers are free text, with any quotes, backslashes, emoji and markup. Each filter returns source
that a parser of the language reads back as the same text.
"""

from __future__ import annotations

import json
import re
import shlex
from datetime import date, timedelta
from typing import Any

from jinja2 import Environment, pass_environment
from jinja2.ext import Extension

_UNPRINTABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


def _quoted(text: str) -> str:
    """A double-quoted string, with escapes that TOML, YAML and JSON share."""
    return _UNPRINTABLE.sub(
        lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False)
    )


def toml(value: str | int | float | bool) -> str:
    """A TOML value (https://toml.io/en/v1.0.0#string)."""
    if isinstance(value, str):
        return _quoted(value)
    return json.dumps(value) if isinstance(value, bool) else repr(value)


def yaml(value: str) -> str:
    """A double-quoted YAML scalar (https://yaml.org/spec/1.2.2/#731-double-quoted-style)."""
    return _quoted(value)


def python(value: Any) -> str:
    """A Python literal, with the quotes that `ruff format` prefers."""
    if not isinstance(value, str):
        return repr(value)
    text = repr(value)
    if text.startswith('"') or value.count('"') > value.count("'"):
        return text
    return '"' + text[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'


def markdown(text: str) -> str:
    """Text that Markdown shows unchanged (https://spec.commonmark.org/0.31.2/#backslash-escapes)."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|~&#])", r"\\\1", text)
    return re.sub(r"^(\d*)([+\-=]|(?<=\d)[.)])", r"\1\\\2", escaped)


def days_later(day: str, days: int) -> str:
    """The ISO date that many days after another. Raises ValueError if that isn't a date."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def shell(text: Any) -> str:
    """A word of a POSIX shell."""
    return shlex.quote(str(text))


@pass_environment
def source(environment: Environment, path: str) -> str:
    """A file of the template, verbatim: Python isn't parsed as Jinja.

    Args:
        environment: passed by Jinja.
        path: relative to the template's root.

    Raises:
        jinja2.TemplateNotFound: the file doesn't exist.
    """
    assert environment.loader is not None
    return environment.loader.get_source(environment, path)[0]


class LiteralsExtension(Extension):
    """Registers the filters and `source`."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        filters: dict[str, Any] = environment.filters
        filters.update(
            toml=toml,
            yaml=yaml,
            python=python,
            markdown=markdown,
            shell=shell,
            days_later=days_later,
        )
        variables: dict[str, Any] = environment.globals  # pyright: ignore[reportAssignmentType]
        variables["source"] = source
