"""`new`: shows a project before it is written, and writes it completely or not at all."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, cast

from ..errors import CommandError, Declined, load_yaml
from .repository import temporary_folder
from .screen import show_answers
from .template import (
    load_catalogue,
    one_line_errors,
    require_plain,
    require_questions,
    require_supported,
)
from .worker import TemplateWorker, newest, open_template


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """The options of the command."""

    destination: Path
    address: str
    version: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    defaults: bool = False

    def __call__(self) -> None:
        """Ask, show, write.

        Raises:
            CommandError: the destination isn't empty, or the answers contradict each other.
            Declined: the user declined.
        """
        destination = self.destination.expanduser().absolute()
        _require_empty(destination)
        if not self.defaults and not sys.stdin.isatty():
            raise CommandError(
                "there is no terminal to ask at: answer with --defaults or --answers"
            )
        missing = [folder for folder in destination.parents if not folder.exists()]
        destination.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that it can be renamed, and under the final name, from which
        # default answers are derived.
        staging = Path(tempfile.mkdtemp(prefix=".ml-architect-", dir=destination.parent))
        try:
            with temporary_folder():
                self._make(staging / destination.name, destination)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            for folder in missing:  # innermost first; those with the project in them stay
                with suppress(OSError):
                    folder.rmdir()

    def _make(self, staged: Path, destination: Path) -> None:
        with (
            one_line_errors(self.address, self.version),
            open_template(
                self.address,
                newest(self.address, self.version),
                dst_path=staged,
                data=dict(self.data),
                defaults=self.defaults,
            ) as worker,
        ):
            require_supported(worker.template.local_abspath)
            require_questions(self.data, worker.template.questions_data)
            if self.defaults:
                worker.run_copy()
            else:
                self._converse(worker, staged, destination)
            message = worker.template.message_after_copy
            text = worker._render_string(message)  # pyright: ignore[reportPrivateUsage]
        _move(staged, destination)
        for show in (shlex.quote, str):
            text = text.replace(show(str(staged)), show(str(destination)))
        print(text.rstrip())

    def _converse(self, worker: TemplateWorker, staged: Path, destination: Path) -> None:
        """Ask, render and show, until the user agrees or declines."""
        import questionary  # slow to import, and not needed with --defaults
        from rich.console import Console
        from rich.tree import Tree

        from .questions import ask, git_author

        def add_files(folder: Path, tree: Tree) -> None:
            for path in sorted(folder.iterdir(), key=lambda path: (path.is_file(), path.name)):
                branch = tree.add(path.name + ("/" if path.is_dir() else ""))
                if path.is_dir():
                    add_files(path, branch)

        console = Console()
        console.print(
            "Typing replaces a default; Escape returns to the previous question, Ctrl-C cancels.",
            style="dim",
        )
        catalogue = load_catalogue(worker.template.local_abspath)
        answers = git_author(destination.parent)
        while True:
            answers = ask(worker, catalogue, answers)
            worker.data = {**self.data, **answers}
            worker.run_copy()
            show_answers(catalogue, answers, console)
            tree = Tree(str(destination), guide_style="dim")
            add_files(staged, tree)
            console.print(tree, markup=False)
            count = sum(path.is_file() for path in staged.rglob("*"))
            console.print(f"{count} files.\n")
            choices = ["yes, write it", "no, ask me again", "no, cancel"]
            choice = questionary.select("Write this?", choices, qmark="?").unsafe_ask()
            if choice == choices[0]:
                return
            shutil.rmtree(staged)
            worker.data = dict(self.data)
            if choice == choices[2]:
                raise Declined("nothing was written")


def read_answers(file: Path) -> dict[str, Any]:
    """The answers in a YAML file, such as another project's `.copier-answers.yml`.

    Raises:
        CommandError: it can't be read, or isn't a mapping.
    """
    try:
        content: Any = load_yaml(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandError(f"--answers {file}: {reason}; expected a YAML file") from None
    if not isinstance(content, dict):
        raise CommandError(f"--answers {file}: expected lines such as `tracker: mlflow`")
    answers = cast("dict[Any, Any]", content)  # names are checked against the questions later
    data = {str(name): value for name, value in answers.items() if not str(name).startswith("_")}
    for name, value in data.items():
        if isinstance(value, date):  # YAML's `started: 2026-11-24`
            data[name] = value.isoformat()
    require_plain(data, f"--answers {file}")
    return data


def _require_empty(destination: Path) -> None:
    if destination.is_dir():
        present = sorted(path.name for path in destination.iterdir() if path.name != ".git")
        if not present:
            return
        more = f" and {len(present) - 3} more" if len(present) > 3 else ""
        reason = f"isn't empty: {', '.join(present[:3])}{more}"
    elif destination.is_symlink():
        reason = "is a link"
    elif destination.exists():
        reason = "is a file"
    elif files := [path for path in destination.parents if path.exists() and not path.is_dir()]:
        reason = f"would be in {files[0]}, which is a file"
    else:
        return
    raise CommandError(
        f"nothing was written, because {destination} {reason}. Name another folder; for an "
        "existing project use `ml-architect adopt`"
    )


def _move(staged: Path, destination: Path) -> None:
    """Rename the project to its destination; if that is a folder, file by file."""
    if not destination.exists():
        staged.rename(destination)
        return
    for path in staged.iterdir():
        path.rename(destination / path.name)
