"""Hostile answers are rejected or rendered unchanged, and rendering writes nothing else."""

from __future__ import annotations

import ast
import json
import os
import string
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from combinations import CATALOGUE, DEFAULTS
from copier.errors import UserMessageError
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from rendering import extension, render
from repository import commit, copy, tree

TEXTS = ("project_name", "package_name", "description", "author_name", "author_email")
"""The questions with free text."""

BLUEPRINT = extension("blueprint")
VALID = {
    **DEFAULTS,
    "project_name": "Digits",
    "package_name": "digits",
    "description": "",
    "author_name": "",
    "author_email": "",
    "started": "2026-11-24",
}

CORPUS = {
    "double quote": 'a "quoted" word',
    "three double quotes": 'a """docstring""" ends',
    "single quotes": "it's '''thrice'''",
    "quote at the end": 'ends with "',
    "backslash": "C:\\new\\table",
    "backslash at the end": "ends with \\",
    "escape sequence": "\\x41 \\u0041 \\N{BEL} \\",
    "newline": "one\ntwo",
    "carriage return": "one\rtwo",
    "newline at the end": "name\n",
    "tab": "one\ttwo",
    "null": "a\x00b",
    "bell": "a\x07b",
    "terminal escape": "\x1b[31mred\x1b[0m",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "byte order mark": "\ufeffa",
    "surrogate": "a\ud800b",
    "not a character": "a\uffffb",
    "emoji": "🧮 👩‍🔬 🇨🇭",
    "right to left": "\u202etxt.exe",
    "hidden marks": "a\u200b\u200f\u2066b\u2069",
    "accents": "é e\u0301 Ångström ﬁ",
    "other scripts": "数字 हिन्दी العربية",
    "jinja expression": "{{ 7 * 7 }}",
    "jinja statement": "{% include 'copier.yml' %}",
    "jinja comment": "{# gone #} {{ '{{' }}",
    "jinja escape": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "python in a string": '"; import os; os.system("touch owned"); "',
    "python docstring": '"""\nimport os\n"""',
    "f-string": "{__import__('os').system('touch owned')}",
    "percent": "%s %(name)s %d {0} ${HOME}",
    "toml table": '"]\n[tool.owned]\nx = "',
    "toml line": 'x"\nowned = "yes',
    "yaml mapping": "a: b",
    "yaml list": "- a",
    "yaml tag": "!!python/object/apply:os.system ['touch owned']",
    "yaml anchor": "*anchor &anchor",
    "yaml true": "yes",
    "yaml null": "null",
    "yaml number": "1e3",
    "yaml comment": "a # b",
    "yaml block": "| a",
    "shell command": "$(touch owned) `touch owned`; touch owned && rm -rf .",
    "shell option": "--upload-pack=touch owned",
    "html": "<script>alert(1)</script> &amp;",
    "markdown": "# a [b](c) ![d](e) **f** | g | `h`",
    "git conflict": "<<<<<<< HEAD ======= >>>>>>>",
    "path upwards": "../../owned",
    "absolute path": "/tmp/owned",
    "home": "~/owned",
    "git hook": ".git/hooks/post-checkout",
    "windows device": "con",
    "dots": "..",
    "dunder": "__init__",
    "shadows torch": "torch",
    "shadows the library": "json",
    "keyword": "class",
    "soft keyword": "match",
    "dependency": "numpy",
    "space around": " a ",
    "no-break space": "\u00a0a",
    "nothing": "",
    "300 letters": "a" * 300,
    "300 quotes": '"' * 300,
    "address": "ada@host.example",
    "address with markup": "{{a}}@'b'.\\c",
    "address with a newline": "ada@host.example\nowned",
}

OWNED = "owned"
"""Hostile answers try to create this file."""


def parse_all(project: Path) -> None:
    """Parse each file."""
    for path in sorted(path for path in project.rglob("*") if path.is_file()):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            ast.parse(text, str(path))
        elif path.suffix == ".toml":
            tomllib.loads(text)
        elif path.suffix in {".yml", ".yaml"}:
            assert yaml.safe_load(text), path


def accepted(text: str) -> dict[str, str]:
    """The questions for which a text is a valid answer, with that answer.

    Raises UserMessageError if there are none.
    """
    answers: dict[str, str] = {}
    message: UserMessageError | None = None
    for question in TEXTS:
        try:
            BLUEPRINT.validate({**VALID, "yours": (), question: text}, CATALOGUE)
            answers[question] = text
        except UserMessageError as error:
            message = error
    if not answers and message:
        raise message
    return answers


def assert_rendered_unchanged(template: Path, folder: Path, answers: dict[str, str]) -> None:
    """Render with hostile answers to several questions at once."""
    project = folder / "made"
    render(template, project, **{**VALID, "stage": "production", **answers})
    parse_all(project)
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    table: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    author = next(iter(table["project"].get("authors", [{}])))
    rendered = {
        "description": table["project"]["description"],
        "author_name": author.get("name", ""),
        "author_email": author.get("email", ""),
        "package_name": next((project / "src").iterdir()).name,
    }
    for question, text in answers.items():
        assert recorded[question] == text
        assert rendered.get(question, text) == text
    names = {path.relative_to(project).as_posix() for path in project.rglob("*")}
    assert not any(OWNED in name for name in names)
    assert [path.name for path in folder.iterdir()] == ["made"]


@pytest.mark.slow
def test_hostile_answers_that_are_accepted_are_rendered_unchanged(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: set[str] = set()
    for number, text in enumerate(CORPUS.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            answers = accepted(text)
        except UserMessageError:
            continue
        assert_rendered_unchanged(template, folder, answers)
        seen.update(answers)
    assert seen == set(TEXTS), "if all answers are rejected, the test is vacuous"
    assert not list(tmp_path.rglob(f"{OWNED}*"))


@pytest.mark.parametrize("text", [CORPUS["newline"], CORPUS["terminal escape"], CORPUS["null"]])
def test_hostile_answers_that_are_rejected_write_nothing(
    text: str, template: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserMessageError) as error:
        render(template, tmp_path / "made", **dict.fromkeys(TEXTS, text))
    assert all(question in str(error.value) for question in TEXTS)
    assert list(tmp_path.iterdir()) == []


def test_the_corpus_has_no_duplicates() -> None:
    assert len(set(CORPUS.values())) == len(CORPUS)


MARKUP = st.text(
    alphabet=st.sampled_from("{}%#\"'\\`$<>[]|&*!:-_.@/~ \n\t\r\x00\x1b\u2028\u202ea0é")
)


@pytest.mark.slow
@given(st.one_of(st.text(max_size=80), MARKUP, st.text(string.printable, max_size=80)))
@settings(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_accepted_answer_is_rendered_unchanged(template: Path, text: str) -> None:
    try:
        answers = accepted(text)
    except UserMessageError:
        reject()
    with tempfile.TemporaryDirectory() as folder:
        assert_rendered_unchanged(template, Path(folder), answers)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc lists open files")


def audited(template: Path, destination: Path, temporary: Path) -> dict[str, list[Any]]:
    """The files, sockets and processes used by rendering: see audited.py."""
    script = Path(__file__).with_name("audited.py")
    temporary.mkdir()
    result = subprocess.run(
        [sys.executable, "-B", script, template, destination, "stage=production", "starter=blank"],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@on_linux
def test_rendering_a_folder_opens_no_socket_and_writes_only_to_the_destination(
    template: Path, tmp_path: Path
) -> None:
    events = audited(template, tmp_path / "made", tmp_path / "temporary")
    assert events["sockets"] == []
    assert {Path(command[0]).name for command in events["processes"]} <= {"git"}
    written = [Path(path) for path in events["changed"]]
    assert len(written) > 30, "the audit hook sees the files"
    allowed = (tmp_path / "made", tmp_path / "temporary", Path("/dev/null"))
    others = [path for path in written if not any(path.is_relative_to(ok) for ok in allowed)]
    assert others == []
    assert list((tmp_path / "temporary").iterdir()) == []


@on_linux
def test_rendering_a_repository_starts_only_git(template: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    for name, content in tree(template).items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_bytes(content)
    commit(repository, "Start", "v1.0.0")
    before = tree(repository)
    events = audited(repository, tmp_path / "made", tmp_path / "temporary")
    assert events["sockets"] == []
    assert events["processes"]
    assert {Path(command[0]).name for command in events["processes"]} == {"git"}
    sending = {"push", "send-pack", "upload-archive"}
    assert not sending & {word for command in events["processes"] for word in command}
    allowed = (tmp_path / "made", tmp_path / "temporary", Path("/dev/null"))
    written = [Path(path) for path in events["changed"]]
    others = [path for path in written if not any(path.is_relative_to(ok) for ok in allowed)]
    assert others == []
    assert tree(repository) == before
    assert list((tmp_path / "temporary").iterdir()) == []
    fresh = copy(
        repository, tmp_path / "again" / "made", "1.0.0", stage="production", starter="blank"
    )
    assert tree(tmp_path / "made") == tree(fresh)
