"""Asks the template's questions at a terminal; the user can go back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import Any

import questionary
from copier import Phase
from copier._main import Worker
from copier._user_data import AnswersMap, Question
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import shift_selection_mode
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
from prompt_toolkit.keys import Keys

from .repository import git

PROMPTS: dict[str, Callable[..., questionary.Question]] = {
    "input": questionary.text,
    "select": questionary.select,
    "checkbox": questionary.checkbox,
    "confirm": questionary.confirm,
    "path": questionary.path,
    "password": questionary.password,
}
"""By Copier's names of the kinds of prompts."""

BACK = object()
"""Returned by a prompt if the user wants to return to the previous question."""


def git_author(folder: Path) -> dict[str, Any]:
    """Name and e-mail address from git's config: only defaults at a terminal, never recorded."""
    settings = {
        f"author_{name}": git(folder, "config", "--get", f"user.{name}", none=1).strip()
        for name in ("name", "email")
    }
    return {name: value for name, value in settings.items() if value}


def ask(worker: Worker, catalogue: Any, earlier: dict[str, Any]) -> dict[str, Any]:
    """Ask every question that the worker's data doesn't answer. Escape returns to the previous one.

    Copier can't go back. Its own questions are used here (types, defaults that depend on other
    answers, validators); only the order in which they are asked is ours.

    Args:
        worker: has the template and the data.
        catalogue: of the same template: what its options buy and cost.
        earlier: answers of an earlier round, offered as defaults.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        EOFError: there is no terminal.
    """
    names = list(worker.template.questions_data)
    described = {question.name: question for question in catalogue.questions}
    answers: dict[str, Any] = {}
    defaults = dict(earlier)
    asked: list[int] = []
    index = 0
    while index < len(names):
        name = names[index]
        question = _question(worker, name, answers, defaults)
        if name in worker.data:
            value = question.parse_answer(worker.data[name])
            question.validate_answer(value)
            answers[name] = value
        elif not question.get_ask():
            answers[name] = question.get_default()
        else:
            value = _prompt(question, described.get(name), can_go_back=bool(asked))
            if value is BACK:
                index = asked.pop()
                for later in names[index:]:
                    # Keep what was typed, but not defaults, which may depend on the new answer.
                    if later in answers and answers[later] != _default(worker, later, answers):
                        defaults[later] = answers[later]
                    answers.pop(later, None)
                continue
            answers[name] = value
            asked.append(index)
        index += 1
    return answers


def _question(
    worker: Worker, name: str, answers: dict[str, Any], defaults: dict[str, Any]
) -> Question:
    worker.answers = AnswersMap(
        init=worker.data,
        user=dict(answers),
        last={name: defaults[name]} if name in defaults else {},
        metadata=worker.template.metadata,
    )
    with Phase.use(Phase.PROMPT):
        context = worker._render_context()  # pyright: ignore[reportPrivateUsage]
    question = Question(
        answers=worker.answers,
        context=context,
        jinja_env=worker.jinja_env,
        settings=worker.settings,
        var_name=name,
        **worker.template.questions_data[name],
    )
    try:
        question.get_default()
    except ValueError:  # git accepts addresses that the template doesn't
        if defaults.pop(name, None) is None:
            raise
        return _question(worker, name, answers, defaults)
    return question


def _default(worker: Worker, name: str, answers: dict[str, Any]) -> Any:
    others = {other: value for other, value in answers.items() if other != name}
    return _question(worker, name, others, {}).get_default()


def _describe(choices: list[questionary.Choice], described: Any) -> None:
    """Use short labels, and describe the selected option below, since long labels are cut off."""
    width = get_terminal_size().columns - 2
    for choice in choices:
        if choice.value in described.values:
            option = described.option(choice.value)
            text = f"buys {option.buys}; costs {option.costs}"
            start = " " * len("  Description: ")
            choice.title = option.title
            choice.description = fill(text, width, initial_indent=start, subsequent_indent="  ")[
                len(start) :
            ]


def _select_default(buffer: Buffer) -> None:
    """Select the default text, so that typing replaces it; the arrow keys begin to edit it."""
    if not buffer.text:
        return
    buffer.cursor_position = 0
    buffer.start_selection()
    if buffer.selection_state:
        buffer.selection_state.enter_shift_mode()
    buffer.cursor_position = len(buffer.text)

    accept = buffer.accept_handler

    def accept_unselected(buffer: Buffer) -> bool:
        buffer.exit_selection()  # the answer stays on the screen
        return bool(accept and accept(buffer))

    buffer.accept_handler = accept_unselected


def _prompt(question: Question, described: Any, *, can_go_back: bool) -> Any:
    """One answer, or BACK."""
    structure = question.get_questionary_structure()
    if described:
        _describe(structure["choices"], described)
    kind, cast = structure.pop("type"), structure.pop("filter")
    for key in ("name", "when"):
        del structure[key]
    structure["qmark"] = "?"
    prompt = PROMPTS[kind](**structure)
    if kind == "input":
        _select_default(prompt.application.current_buffer)
    keys = KeyBindings()

    @keys.add(Keys.BracketedPaste, filter=shift_selection_mode)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.cut_selection()
        event.key_processor.feed(event.key_sequence[0], first=True)

    if can_go_back:

        @keys.add(Keys.Escape, eager=True)
        def _(event: KeyPressEvent) -> None:
            event.app.exit(result=BACK, style="class:aborting")

    bindings = prompt.application.key_bindings
    merged = merge_key_bindings([bindings, keys] if bindings else [keys])
    prompt.application.key_bindings = merged
    prompt.application.ttimeoutlen = 0.05  # seconds: arrow keys begin with Escape, too
    value = prompt.unsafe_ask()
    return value if value is BACK else cast(value)
