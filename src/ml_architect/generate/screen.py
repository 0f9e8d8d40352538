"""What a person at a terminal is shown and asked, alike in every command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from ..errors import CommandError


def say(console: Console, text: str, style: str | None = None) -> None:
    """As it is: no markup, and no line broken, so that commands can be copied."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def confirmed(question: str) -> bool:
    """Whether the person agrees.

    Raises:
        CommandError: there is nobody to ask.
    """
    import questionary  # not needed, hence not waited for, with --yes

    try:
        return bool(questionary.confirm(question, default=True, qmark="?").unsafe_ask())
    except EOFError:
        raise CommandError("there is no terminal to ask at: insist with --yes") from None


def show_answers(catalogue: Any, answers: Mapping[str, Any], console: Console) -> None:
    """The answers, and what each costs."""
    table = Table("question", "answer", "costs", box=None, padding=(0, 2, 0, 0))
    prices = {each.name: each for each in catalogue.questions}
    for name, value in answers.items():
        price = prices[name].option(value).costs if name in prices else ""
        if value != []:  # a list that isn't asked for
            table.add_row(name, str(value), price)
    console.print()
    console.print(table, markup=False)
    console.print()
