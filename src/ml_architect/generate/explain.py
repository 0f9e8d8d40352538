"""`explain`: what each option buys and costs, from the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from ..errors import CommandError, nearest


def explain(catalogue: Any, words: Sequence[str]) -> str:
    """What the catalogue says of questions and options.

    Args:
        catalogue: a version's.
        words: each the name of a question, for all of its options, or of one option.

    Raises:
        CommandError: there is nothing of that name; the message has the nearest.
    """
    if not words:
        names = [f"  {each.name:<18} {', '.join(each.values)}" for each in catalogue.questions]
        return "\n".join(
            ["Questions, and their options:", *names, "Next: ml-architect explain NAME"]
        )
    return "\n\n".join(_explain(catalogue, word) for word in words)


def _explain(catalogue: Any, word: str) -> str:
    parts: list[str] = []
    for question in catalogue.questions:
        if word == question.name:
            options = [_option(question, option) for option in question.options]
            parts.append("\n".join([f"{question.title} ({question.name})", *options]))
        else:
            found = [_option(question, each) for each in question.options if each.value == word]
            parts += [f"{question.title} ({question.name})\n{each}" for each in found]
    if parts:
        return "\n\n".join(parts)
    known = [name for each in catalogue.questions for name in (each.name, *each.values)]
    hint = nearest(word, known, "expected a question or an option.")
    raise CommandError(f"{word}: nothing is called that; {hint} See: ml-architect explain")


def _option(question: Any, option: Any) -> str:
    default = " (default)" if option.value == question.default else ""
    lines = [f"\n  {option.value}{default}: {option.title}"]
    said = {"buys": option.buys, "costs": option.costs, "prefer": option.prefer}
    if option.requirements:
        said["needs"] = ", ".join(f"{each.name} {each.versions}" for each in option.requirements)
    if option.settings:
        said["settings"] = ", ".join(f"{each.path} = {each.literal}" for each in option.settings)
    for other, answers in option.conflicts.items():
        said["not with"] = "; ".join(f"{other} {name}: {why}" for name, why in answers.items())
    for name, text in said.items():
        start = f"    {name:<9}"
        lines.append(fill(text, 96, initial_indent=start, subsequent_indent=" " * len(start)))
    return "\n".join(lines)
