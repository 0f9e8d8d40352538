"""Answers are free text, which literals preserve: written and read back, it is the same."""

from __future__ import annotations

import ast
import re
import string
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from jinja2 import DictLoader, Environment, TemplateNotFound
from rendering import extension

LITERALS = extension("literals")

DIFFICULT = [
    "",
    "plain",
    "it's",
    '"quoted"',
    'it\'s "both"',
    '\'"\'""',
    "''' \"\"\"",
    '"""',
    "\u201ctypographic\u201d \u2018quotes\u2019",
    "back\\slash\\",
    "\\",
    "\\'",
    "\\\"'",
    "\\n \\u0041",
    "{{ jinja }} {% raw %} {# note #}",
    "${shell} $(shell) `shell`",
    "emoji 🧮 👩‍🔬",
    "עברית \u202e right to left",
    "NEL\x85 LS\u2028 PS\u2029 BOM\ufeff",
    "DEL\x7f C1\x80\x9f NUL\x00 ESC\x1b",
    "tab\t return\r newline\n",
    "\ufffe\uffff",
    "# heading",
    "C #",
    "#hashtag",
    "- item",
    "+ item",
    "* item",
    "1. one",
    "1) one",
    "12",
    "-1.5",
    "= underline",
    "---",
    "> quote",
    "*a* _b_ ~c~ `d` **e**",
    "[link](https://host.example) ![image](x)",
    "<b>html</b> &amp; a | b",
    "null",
    "yes",
    "~",
    "key: value",
    "%percent",
    "@at",
]

MARKUP = re.compile(r"[`*_\[\]<>|~]|&#?\w+;|^\s*([#+=-]|\d+[.)])|(^|\s)#+\s*$")
"""What Markdown interprets. Not complete: bare addresses become links, as they should."""


@pytest.mark.parametrize("text", DIFFICULT)
def test_toml_reads_the_same_text_back(text: str) -> None:
    assert tomllib.loads(f"x = {LITERALS.toml(text)}")["x"] == text


@pytest.mark.parametrize("value", [True, False, 0, -3, 1.0, 1e-05, 1e300])
def test_toml_reads_the_same_value_of_the_same_type_back(value: float) -> None:
    read = tomllib.loads(f"x = {LITERALS.toml(value)}")["x"]
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize("text", DIFFICULT)
def test_yaml_reads_the_same_text_back(text: str) -> None:
    assert yaml.safe_load(f"x: {LITERALS.yaml(text)}")["x"] == text


@pytest.mark.parametrize("value", [*DIFFICULT, True, 0, 1e-05, None])
def test_python_reads_the_same_value_back(value: object) -> None:
    assert ast.literal_eval(LITERALS.python(value)) == value


@pytest.mark.parametrize("text", DIFFICULT)
def test_a_literal_is_one_printable_line(text: str) -> None:
    for literal in (LITERALS.toml(text), LITERALS.yaml(text), LITERALS.python(text)):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]", literal)


def test_ruff_leaves_python_literals_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "literals.py"
    lines = [f"x{number} = {LITERALS.python(text)}\n" for number, text in enumerate(DIFFICULT)]
    path.write_text("".join(lines), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", str(path)]
    result = subprocess.run(ruff, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("text", [text for text in DIFFICULT if text.isprintable()])
def test_markdown_shows_the_same_text(text: str) -> None:
    shown = re.sub(rf"\\([{re.escape(string.punctuation)}])", r"\1", LITERALS.markdown(text))
    assert shown == text


@pytest.mark.parametrize("text", [text for text in DIFFICULT if text.isprintable()])
def test_markdown_finds_no_markup_in_a_text(text: str) -> None:
    punctuation = re.escape(string.punctuation)
    unescaped = re.sub(rf"\\[{punctuation}]", "¶", LITERALS.markdown(text))
    markup = MARKUP.search(unescaped)
    assert markup is None, markup


def test_source_returns_a_file_verbatim() -> None:
    files = {"a.py": 'print(f"{{}} {% if %}")\n'}
    env = Environment(extensions=[LITERALS.LiteralsExtension], loader=DictLoader(files))
    assert env.from_string("{{ source('a.py') }}").render() == files["a.py"]
    with pytest.raises(TemplateNotFound):
        env.from_string("{{ source('b.py') }}").render()
