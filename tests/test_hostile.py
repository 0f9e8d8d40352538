"""Nothing that a person may answer breaks out of its place, and rendering touches nothing else."""

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
from copier.errors import UserMessageError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rendering import render
from repository import commit, copy, tree

TEXTS = ("project_name", "package_name", "description", "author_name", "author_email")
"""The questions that are answered in one's own words."""

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

NEVER_RUN = "owned"
"""No file of this name may appear anywhere."""


def parse_all(project: Path) -> None:
    """Read each file with the parser of its language."""
    for path in sorted(path for path in project.rglob("*") if path.is_file()):
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            ast.parse(text, str(path))
        elif path.suffix == ".toml":
            tomllib.loads(text)
        elif path.suffix in {".yml", ".yaml"}:
            assert yaml.safe_load(text), path


def assert_refused_or_held(template: Path, folder: Path, question: str, text: str) -> bool:
    """Render with a hostile answer. Gives whether it was taken."""
    project = folder / "made"
    answers = {"project_name": "Digits", "package_name": "digits", "stage": "production"}
    refused = ""
    try:
        render(template, project, **{**answers, question: text})
    except UserMessageError as error:
        refused = str(error)
    if refused:
        assert question in refused
        assert list(folder.iterdir()) == []
        return False
    parse_all(project)
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert recorded[question] == text
    table: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    author = next(iter(table["project"].get("authors", [{}])))
    held = {
        "description": table["project"]["description"],
        "author_name": author.get("name", ""),
        "author_email": author.get("email", ""),
        "package_name": next((project / "src").iterdir()).name,
    }
    assert held.get(question, text) == text
    plain = {path.relative_to(project).as_posix() for path in project.rglob("*")}
    assert not any(NEVER_RUN in name for name in plain)
    assert [path.name for path in folder.iterdir()] == ["made"]
    return True


@pytest.mark.slow
@pytest.mark.parametrize("question", TEXTS)
def test_a_hostile_answer_is_refused_or_held_unchanged(
    question: str, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    taken: list[str] = []
    for number, (title, text) in enumerate(CORPUS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        if assert_refused_or_held(template, folder, question, text):
            taken.append(title)
    assert taken, "a corpus that is refused throughout shows nothing"
    assert set(taken) < CORPUS.keys()
    assert not list(tmp_path.rglob(f"{NEVER_RUN}*"))


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len(CORPUS) >= 40
    assert len(set(CORPUS.values())) == len(CORPUS)


MARKUP = st.text(
    alphabet=st.sampled_from("{}%#\"'\\`$<>[]|&*!:-_.@/~ \n\t\r\x00\x1b\u2028\u202ea0é")
)


@pytest.mark.slow
@given(
    question=st.sampled_from(TEXTS),
    text=st.one_of(st.text(max_size=80), MARKUP, st.text(string.printable, max_size=80)),
)
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_is_answered_is_refused_or_held_unchanged(
    template: Path, question: str, text: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert_refused_or_held(template, Path(folder), question, text)


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc says what is open")


def audited(template: Path, destination: Path, temporary: Path) -> dict[str, list[Any]]:
    """What rendering does to the machine; see audited.py."""
    script = Path(__file__).with_name("audited.py")
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-B", script, template, destination, "stage=production", "starter=blank"],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@on_linux
def test_rendering_a_folder_opens_no_socket_and_writes_into_the_destination_alone(
    template: Path, tmp_path: Path
) -> None:
    seen = audited(template, tmp_path / "made", tmp_path / "temporary")
    assert seen["sockets"] == []
    assert {Path(command[0]).name for command in seen["processes"]} <= {"git"}
    written = [Path(each) for each in seen["changed"]]
    assert len(written) > 40, "the hook saw the files that were made"
    allowed = (tmp_path / "made", tmp_path / "temporary", Path("/dev/null"))
    strays = [each for each in written if not any(each.is_relative_to(ok) for ok in allowed)]
    assert strays == []
    assert list((tmp_path / "temporary").iterdir()) == []


@on_linux
def test_rendering_a_repository_starts_nothing_but_copiers_git(
    template: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    copy_of_template = tree(template)
    for name, content in copy_of_template.items():
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_bytes(content)
    commit(repository, "Start", "v1.0.0")
    before = tree(repository)
    seen = audited(repository, tmp_path / "made", tmp_path / "temporary")
    assert seen["sockets"] == []
    assert seen["processes"]
    assert {Path(command[0]).name for command in seen["processes"]} == {"git"}
    fetching = {"push", "send-pack", "upload-archive"}
    assert not fetching & {word for command in seen["processes"] for word in command}
    allowed = (tmp_path / "made", tmp_path / "temporary", Path("/dev/null"))
    written = [Path(each) for each in seen["changed"]]
    strays = [each for each in written if not any(each.is_relative_to(ok) for ok in allowed)]
    assert strays == []
    assert tree(repository) == before
    assert list((tmp_path / "temporary").iterdir()) == []
    fresh = copy(
        repository, tmp_path / "again" / "made", "1.0.0", stage="production", starter="blank"
    )
    assert tree(tmp_path / "made") == tree(fresh)
