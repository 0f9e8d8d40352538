"""What all commands show and ask at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import CommandError, printable

if TYPE_CHECKING:  # slow to import, and `new --defaults` doesn't need it
    from rich.console import Console


def show(console: Console, text: str, style: str | None = None) -> None:
    """Print without markup, and without line breaks, so that commands can be copied."""
    console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


def confirm(question: str) -> bool:
    """Whether the user agrees.

    Raises:
        CommandError: there is no terminal.
    """
    import questionary  # slow to import, and not needed with --yes

    try:
        return bool(questionary.confirm(question, default=True, qmark="?").unsafe_ask())
    except EOFError:
        raise CommandError("there is no terminal to ask at: use --yes") from None


def show_answers(catalogue: Any, answers: Mapping[str, Any], console: Console) -> None:
    """Print the answers and what each costs."""
    from rich.table import Table

    table = Table("question", "answer", "costs", box=None, padding=(0, 2, 0, 0))
    questions = {question.name: question for question in catalogue.questions}
    for name, value in answers.items():
        costs = questions[name].option(value).costs if name in questions else ""
        if value != []:  # the files that the owner takes over, which isn't asked
            table.add_row(name, str(value), costs)
    console.print()
    console.print(table, markup=False)
    console.print()
