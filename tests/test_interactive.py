"""Questions in a terminal: invalid answers are reported at once, arrow keys select.

Copier's own first, then those of `ml-architect new`.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml
from combinations import CATALOGUE

DRAWN = "\x1b[?7h"  # what prompt_toolkit sends last when it has drawn a prompt
CLEAR = "\x15"  # Ctrl-U: deletes the default from the line
UP, DOWN, ENTER, ESCAPE = "\x1b[A", "\x1b[B", "\r", "\x1b"
AS_ADA = {
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "user.name",
    "GIT_CONFIG_VALUE_0": "Ada Lovelace",
    "GIT_CONFIG_KEY_1": "user.email",
    "GIT_CONFIG_VALUE_1": "ada@localhost",  # git accepts it, the template doesn't
}

CHOSEN = {
    "stage": "production",
    "starter": "blank",
    "config": "dataclass",
    "tracker": "tensorboard",
    "checkpoint": "rolling",
}

in_a_terminal = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")


def spawn(arguments: list[str], folder: Path, columns: int = 160, **variables: str) -> Any:
    """Start Python with these arguments in a terminal."""
    untyped: Any = pexpect.spawn
    environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    return untyped(
        sys.executable,
        arguments,
        cwd=str(folder),
        env={**environment, "COLUMNS": str(columns), **variables},  # pytest-xdist sets another
        dimensions=(120, columns),
        encoding="utf-8",
        timeout=60,
    )


def copier_in_a_terminal(template: Path, folder: Path) -> Any:
    """Start Copier in a terminal."""
    return spawn(["-m", "copier", "copy", "--trust", str(template), "made"], folder)


def start_in_terminal(template: Path, folder: Path, *arguments: str, columns: int = 160) -> Any:
    """Start a command of `ml-architect` in a terminal."""
    command = ["-m", "ml_architect", *arguments, "--template", str(template)]
    return spawn(command, folder, columns, **AS_ADA)


def answer(terminal: Any, shown: str, typed: str, end: str = ENTER) -> None:
    """Wait until a text is shown and the prompt is drawn, then type."""
    terminal.expect_exact(shown)
    terminal.expect_exact(DRAWN)  # earlier input would be lost
    terminal.send(typed + end)


def keys(question: str, value: str) -> str:
    """The arrow keys from the default to an option."""
    values = CATALOGUE.question(question).values
    steps = values.index(value) - values.index(CATALOGUE.question(question).default)
    return (DOWN if steps > 0 else UP) * abs(steps)


@in_a_terminal
def test_all_questions_can_be_answered(template: Path, tmp_path: Path) -> None:
    terminal = copier_in_a_terminal(template, tmp_path)
    answer(terminal, "What is the project called?", CLEAR + "Iris Flowers")
    answer(terminal, "iris_flowers", CLEAR + "torch")  # the default depends on the name
    answer(terminal, "'torch' would be shadowed", CLEAR + "iris")
    answer(terminal, "in one line?", "")
    answer(terminal, "Who writes it?", "Ada")
    answer(terminal, "e-mail address?", "ada")
    answer(terminal, "isn't an e-mail address", "@host.example")
    for question, value in CHOSEN.items():
        answer(terminal, CATALOGUE.question(question).help, keys(question, value))
    if len(CATALOGUE.question("checkpoint_writer").options) > 1:
        answer(terminal, CATALOGUE.question("checkpoint_writer").help, "")
    answer(terminal, CATALOGUE.question("devices").help, "")
    answer(terminal, "the oldest Python", DOWN)
    answer(terminal, CATALOGUE.question("license").help, "")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0

    recorded = yaml.safe_load((tmp_path / "made/.copier-answers.yml").read_text(encoding="utf-8"))
    expected = {
        "project_name": "Iris Flowers",
        "package_name": "iris",
        "author_name": "Ada",
        **CHOSEN,
    }
    assert {name: recorded[name] for name in expected} == expected
    assert recorded["author_email"] == "ada@host.example"
    assert recorded["python_version"] == "3.12"
    assert recorded["license"] == CATALOGUE.question("license").default
    source = tmp_path / "made/src/iris"
    assert "TensorBoard" in (source / "training/tracker.py").read_text(encoding="utf-8")
    assert "@dataclass" in (source / "config.py").read_text(encoding="utf-8")
    assert list((tmp_path / "made/data").glob("*.csv"))
    assert (tmp_path / "made/.github").is_dir()


@in_a_terminal
@pytest.mark.parametrize("name", ["Torch", "a" * 60, "数字"])
def test_the_default_package_is_valid_for_any_name(
    name: str, template: Path, tmp_path: Path
) -> None:
    terminal = copier_in_a_terminal(template, tmp_path)
    answer(terminal, "What is the project called?", CLEAR + name)
    answer(terminal, "And its Python package?", "")
    answer(terminal, "What does it do, in one line?", "")
    terminal.close(force=True)


PASTE = "\x1b[200~{}\x1b[201~"
"""What a terminal sends for pasted text."""


@in_a_terminal
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("Ham Finder", "ham_finder"),
        (PASTE.format("Ham Finder"), "ham_finder"),
        ("\x7fHam", "ham"),  # backspace deletes the default
        ("\x1b[C two", "spam_filter_two"),  # an arrow key begins to edit it
        ("\x1b[H" + 4 * "\x1b[3~" + "Ham", "ham_filter"),  # from its beginning
        ("", "spam_filter"),
        (CLEAR + "Ham", "ham"),
    ],
    ids=["typed", "pasted", "backspace", "appended", "prepended", "accepted", "cleared"],
)
def test_typing_replaces_the_default(
    typed: str, expected: str, template: Path, tmp_path: Path
) -> None:
    terminal = start_in_terminal(template, tmp_path, "new", "spam_filter")
    terminal.expect_exact("What is the project called?")
    terminal.expect(r"\x1b\[[0-9;]*7m *Spam Filter")  # as selected text, in reverse video
    terminal.expect_exact(DRAWN)
    terminal.send(typed + ENTER)
    answer(terminal, "And its Python package?", "")
    terminal.expect_exact("What does it do, in one line?")
    assert expected in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.before).split()
    terminal.close(force=True)


@in_a_terminal
def test_an_answer_that_was_refused_is_edited_not_replaced(template: Path, tmp_path: Path) -> None:
    terminal = start_in_terminal(template, tmp_path, "new", "made")
    answer(terminal, "What is the project called?", "Ham")
    answer(terminal, "And its Python package?", "torch")
    answer(terminal, "'torch' would be shadowed", "_ham")
    terminal.expect_exact("torch_ham")
    terminal.expect_exact("What does it do, in one line?")
    terminal.close(force=True)


@in_a_terminal
def test_a_user_goes_back_sees_costs_and_files_and_confirms(template: Path, tmp_path: Path) -> None:
    terminal = start_in_terminal(template, tmp_path, "new", "made")
    answer(terminal, "What is the project called?", CLEAR + "Iris")
    answer(terminal, "And its Python package?", "", ESCAPE)
    answer(terminal, "What is the project called?", CLEAR + "Iris Flowers")
    answer(terminal, "iris_flowers", "")  # the default depends on the changed answer
    answer(terminal, "in one line?", "")
    answer(terminal, "Ada Lovelace", "")  # from git's config
    answer(terminal, "e-mail address?", "ada@host.example")
    for question in ("stage", "starter", "config"):
        answer(terminal, CATALOGUE.question(question).help, "")
    answer(terminal, CATALOGUE.question("tracker").help, DOWN)
    answer(terminal, CATALOGUE.question("checkpoint").help, "", ESCAPE)
    # From the option that was chosen before.
    answer(terminal, CATALOGUE.question("tracker").help, DOWN)
    for question in ("checkpoint", "checkpoint_writer", "devices"):
        answer(terminal, CATALOGUE.question(question).help, "")
    answer(terminal, "the oldest Python", "")
    answer(terminal, CATALOGUE.question("license").help, "")
    third = CATALOGUE.question("tracker").options[2]
    terminal.expect_exact(third.costs)
    terminal.expect_exact("network.py")
    assert not (tmp_path / "made").exists()
    answer(terminal, "Write this?", "")
    terminal.expect_exact("train --config configs/small.toml")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    recorded = yaml.safe_load((tmp_path / "made/.copier-answers.yml").read_text("utf-8"))
    assert recorded["project_name"] == "Iris Flowers"
    assert recorded["author_name"] == "Ada Lovelace"
    assert recorded["author_email"] == "ada@host.example"
    assert recorded["tracker"] == third.value
    assert (tmp_path / "made/src/iris_flowers").is_dir()


@in_a_terminal
def test_a_narrow_terminal_shows_the_whole_description_of_an_option(
    template: Path, tmp_path: Path
) -> None:
    terminal = start_in_terminal(
        template, tmp_path, "new", "made", "--data=package_name=iris", columns=80
    )
    for shown in ("project called?", "in one line?", "Who writes", "e-mail"):
        answer(terminal, shown, "")
    stage = CATALOGUE.question("stage")
    terminal.expect_exact(stage.help[:60])  # the rest is on the next line
    terminal.expect_exact(DRAWN)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.before)
    chosen = stage.option(stage.default)
    output = " ".join(shown.split())
    for text in (f"{chosen.title} ", f"buys {chosen.buys}; costs {chosen.costs}"):
        assert text in output
    terminal.close(force=True)


@pytest.mark.slow
@in_a_terminal
@pytest.mark.parametrize(("cancel", "code"), [(DOWN * 2 + ENTER, 1), ("\x03", 130)])
def test_a_user_who_cancels_leaves_no_files(
    cancel: str, code: int, template: Path, tmp_path: Path
) -> None:
    terminal = start_in_terminal(template, tmp_path, "new", "made")
    for shown in ("project called?", "Python package?", "in one line?", "Who writes", "e-mail"):
        answer(terminal, shown, "")
    for question in CATALOGUE.questions:
        if question.name == "license":
            answer(terminal, "the oldest Python", "")
        answer(terminal, question.help, "")
    answer(terminal, "Write this?", cancel, "")
    terminal.expect_exact("nothing was written")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == code
    assert list(tmp_path.iterdir()) == []
