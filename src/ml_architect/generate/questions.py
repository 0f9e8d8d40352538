"""Asks the template's questions at a terminal, and lets a person go back."""

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
"""Copier's names for the kinds of prompts."""

BACK = object()
"""What a prompt gives when the person wants to see the question before it again."""


def git_author(folder: Path) -> dict[str, Any]:
    """Who works in a folder, as git has it: offered where a person is asked, and nowhere else."""
    known = {
        f"author_{each}": git(folder, "config", "--get", f"user.{each}", none=1).strip()
        for each in ("name", "email")
    }
    return {name: value for name, value in known.items() if value}


def ask(worker: Worker, catalogue: Any, earlier: dict[str, Any]) -> dict[str, Any]:
    """Every question that isn't answered by the worker's data. Escape goes back by one.

    Copier asks each question once, forwards. Its questions are taken as they are (types, defaults
    that follow from answers, validators), and only the order in which they are put is ours.

    Args:
        worker: has the template and the data.
        catalogue: of the same template: what its options buy and cost.
        earlier: answers of an earlier round, offered as defaults.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        EOFError: there is no terminal.
    """
    names = list(worker.template.questions_data)
    stated = {each.name: each for each in catalogue.questions}
    answers: dict[str, Any] = {}
    offered = dict(earlier)
    asked: list[int] = []
    place = 0
    while place < len(names):
        name = names[place]
        question = _question(worker, name, answers, offered)
        if name in worker.data:
            value = question.parse_answer(worker.data[name])
            question.validate_answer(value)
            answers[name] = value
        elif not question.get_ask():
            answers[name] = question.get_default()
        else:
            value = _prompt(question, stated.get(name), can_go_back=bool(asked))
            if value is BACK:
                place = asked.pop()
                for later in names[place:]:  # a default that follows from another answer is new
                    if later in answers and answers[later] != _default(worker, later, answers):
                        offered[later] = answers[later]
                    answers.pop(later, None)
                continue
            answers[name] = value
            asked.append(place)
        place += 1
    return answers


def _question(
    worker: Worker, name: str, answers: dict[str, Any], offered: dict[str, Any]
) -> Question:
    worker.answers = AnswersMap(
        init=worker.data,
        user=dict(answers),
        last={name: offered[name]} if name in offered else {},
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
    except ValueError:  # git takes addresses that the template doesn't
        if offered.pop(name, None) is None:
            raise
        return _question(worker, name, answers, offered)
    return question


def _default(worker: Worker, name: str, answers: dict[str, Any]) -> Any:
    before = {each: value for each, value in answers.items() if each != name}
    return _question(worker, name, before, {}).get_default()


def _describe(choices: list[questionary.Choice], stated: Any) -> None:
    """Short labels, and the price of the one under the cursor: a terminal cuts lines, not wraps."""
    width = get_terminal_size().columns - 2
    for choice in choices:
        if choice.value in stated.values:
            option = stated.option(choice.value)
            text = f"buys {option.buys}; costs {option.costs}"
            start = " " * len("  Description: ")
            choice.title = option.title
            choice.description = fill(text, width, initial_indent=start, subsequent_indent="  ")[
                len(start) :
            ]


def _prompt(question: Question, stated: Any, *, can_go_back: bool) -> Any:
    """One answer, or BACK."""
    structure = question.get_questionary_structure()
    if stated:
        _describe(structure["choices"], stated)
    kind, cast = structure.pop("type"), structure.pop("filter")
    for key in ("name", "when"):
        del structure[key]
    structure["qmark"] = "?"
    prompt = PROMPTS[kind](**structure)
    if can_go_back:
        keys = KeyBindings()

        @keys.add(Keys.Escape, eager=True)
        def _(event: KeyPressEvent) -> None:
            event.app.exit(result=BACK, style="class:aborting")

        bound = prompt.application.key_bindings
        prompt.application.key_bindings = merge_key_bindings([bound, keys] if bound else [keys])
        prompt.application.ttimeoutlen = 0.05  # seconds: Escape also begins what arrow keys send
    value = prompt.unsafe_ask()
    return value if value is BACK else cast(value)
