"""`explain`: what each option buys and costs, from the catalogue."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from textwrap import TextWrapper
from typing import Any

from ..errors import CommandError, nearest

WIDTH = 96


def explain(
    catalogue: Any, words: Sequence[str], answers: Mapping[str, Any], options: str = ""
) -> str:
    """Describe questions and options.

    Args:
        catalogue: of a version of the template.
        words: names of questions, of which all options are described, or names of options; empty
            for the answers of a project, or for a list of all questions.
        answers: of the project in the current folder; empty if there is none.
        options: of the command that changes an answer, such as `--template=ADDRESS`.

    Raises:
        CommandError: a name is unknown; the message has the most similar one.
    """
    if words:
        return "\n\n".join(_explain(catalogue, word, answers) for word in words)
    if answers:
        choices = [
            _choice(question, answers[question.name], options)
            for question in catalogue.questions
            if answers.get(question.name) in question.values
        ]
        return "\n\n".join([*choices, "Next: ml-architect explain NAME"])
    names = [
        f"  {question.name:<18} {', '.join(question.values)}" for question in catalogue.questions
    ]
    return "\n".join(["Questions and their options:", *names, "Next: ml-architect explain NAME"])


def _explain(catalogue: Any, word: str, answers: Mapping[str, Any]) -> str:
    parts: list[str] = []
    for question in catalogue.questions:
        chosen = answers.get(question.name)
        title = f"{question.title} ({question.name})"
        if word == question.name:
            described = [_option(question, option, chosen) for option in question.options]
            parts.append("\n".join([title, *described]))
        elif word in question.values:
            parts.append(f"{title}\n{_option(question, question.option(word), chosen)}")
    if parts:
        return "\n\n".join(parts)
    names = [name for question in catalogue.questions for name in (question.name, *question.values)]
    hint = nearest(word, names, "expected a question or an option.")
    raise CommandError(f"{word}: no such question or option; {hint} See: ml-architect explain")


def _choice(question: Any, answer: str, options: str) -> str:
    """The option that a project has, and how to change it."""
    lines = [f"{question.title} ({question.name})", _option(question, question.option(answer))]
    others = [option for option in question.options if option.value != answer]
    if others and question.can_change:
        lines.append("    instead:")
        for option in others:
            data = shlex.quote(f"--data={question.name}={option.value}")
            command = f"ml-architect update {data}{options}"
            text = f"buys {option.buys}; costs {option.costs}"
            lines.append(_wrap(f"      {option.title}: ", text, indent=8))
            lines.append(f"        {command}")
    elif others:
        names = ", ".join(option.value for option in others)
        lines.append(f"    instead: {names}, only in a new project: ml-architect new DEST")
    return "\n".join(lines)


def _option(question: Any, option: Any, chosen: Any = None) -> str:
    notes: list[str] = []
    if option.value == question.default:
        notes.append("default")
    if option.value == chosen:
        notes.append("chosen here")
    note = f" ({', '.join(notes)})" if notes else ""
    texts = {"buys": option.buys, "costs": option.costs, "prefer if": option.prefer}
    if option.requirements:
        needs = [
            f"{requirement.name} {requirement.versions}" for requirement in option.requirements
        ]
        texts["needs"] = ", ".join(needs)
    excluded = [
        f"{other} {value}: {reason}"
        for other, reasons in option.conflicts.items()
        for value, reason in reasons.items()
    ]
    if excluded:
        texts["not with"] = "; ".join(excluded)
    lines = [_wrap(f"    {name:<11}", text, indent=15) for name, text in texts.items()]
    return "\n".join([f"\n  {option.value}{note}: {option.title}", *lines])


def _wrap(start: str, text: str, indent: int) -> str:
    wrapper = TextWrapper(WIDTH, break_on_hyphens=False, break_long_words=False)
    wrapper.initial_indent, wrapper.subsequent_indent = start, " " * indent
    return wrapper.fill(text)
