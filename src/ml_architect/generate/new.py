"""`new`: a project, shown before it is written, written whole or not at all."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from copier._main import Worker
from copier._settings import SettingsModel
from rich.console import Console
from rich.tree import Tree

from ..errors import CommandError, Declined
from .screen import say, show_answers
from .template import (
    copiers_errors,
    load_catalogue,
    newest,
    require_questions,
    require_supported,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class New:
    """What was asked for on the command line."""

    destination: Path
    address: str
    version: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    defaults: bool = False

    def __call__(self, console: Console) -> None:
        """Ask, show, write.

        Raises:
            CommandError: the destination is in the way, or the answers don't fit.
            Declined: the person said no.
        """
        destination = self.destination.expanduser().absolute()
        _require_room(destination)
        if not self.defaults and not sys.stdin.isatty():
            raise CommandError(
                "there is no terminal to ask at: answer with --defaults or --answers"
            )
        missing = [each for each in destination.parents if not each.exists()]
        destination.parent.mkdir(parents=True, exist_ok=True)
        # Beside the destination, so that it can be renamed; under its name, since answers follow.
        staging = Path(tempfile.mkdtemp(prefix=".ml-architect-", dir=destination.parent))
        try:
            self._make(staging / destination.name, destination, console)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            for folder in missing:  # the nearest first; they stay where the project lies in them
                with suppress(OSError):
                    folder.rmdir()

    def _make(self, staged: Path, destination: Path, console: Console) -> None:
        with (
            copiers_errors(self.address, self.version),
            Worker(
                src_path=self.address,
                dst_path=staged,
                vcs_ref=newest(self.address, self.version),
                data=dict(self.data),
                settings=SettingsModel(),  # a person's own don't leak in
                defaults=self.defaults,
                quiet=True,
                unsafe=True,  # this address alone, where we ourselves came from
            ) as worker,
        ):
            load_catalogue(worker.template.local_abspath)  # or it isn't a template of ours
            require_supported(worker.template.local_abspath)
            require_questions(self.data, worker.template.questions_data)
            if self.defaults:
                worker.run_copy()
            else:
                self._converse(worker, staged, destination, console)
            said = worker.template.message_after_copy
            text = worker._render_string(said)  # pyright: ignore[reportPrivateUsage]
        _move(staged, destination)
        text = text.replace(str(staged), str(destination)).rstrip()
        say(console, text)

    def _converse(self, worker: Worker, staged: Path, destination: Path, console: Console) -> None:
        """Ask, render, show; once more from the start as long as the person wants to."""
        import questionary  # not needed, hence not waited for, with --defaults

        from .questions import ask, git_author

        console.print("Escape goes back to the question before, Ctrl-C leaves.", style="dim")
        catalogue = load_catalogue(worker.template.local_abspath)
        answers = git_author(destination.parent)
        while True:
            answers = ask(worker, catalogue, answers)
            worker.data = {**self.data, **answers}
            worker.run_copy()
            show_answers(catalogue, answers, console)
            tree = _tree(staged, Tree(str(destination), guide_style="dim"))
            console.print(tree, markup=False)
            count = sum(path.is_file() for path in staged.rglob("*"))
            console.print(f"{count} files.\n")
            choices = ["yes, write it", "no, ask me again", "no, leave"]
            verdict = questionary.select("Write this?", choices, qmark="?").unsafe_ask()
            if verdict == choices[0]:
                return
            shutil.rmtree(staged)
            worker.data = dict(self.data)
            if verdict == choices[2]:
                raise Declined("nothing was written")


def read_answers(file: Path) -> dict[str, Any]:
    """The answers in a YAML file, such as another project's `.copier-answers.yml`.

    Raises:
        CommandError: it can't be read, or isn't a mapping.
    """
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CommandError(f"--answers {file}: {reason}; expected a YAML file") from None
    if not isinstance(content, dict):
        raise CommandError(f"--answers {file}: expected lines such as `tracker: mlflow`")
    answers = cast("dict[Any, Any]", content)  # names are checked against the questions later
    return {str(each): value for each, value in answers.items() if not str(each).startswith("_")}


def _require_room(destination: Path) -> None:
    if destination.is_dir():
        present = sorted(path.name for path in destination.iterdir() if path.name != ".git")
        if not present:
            return
        more = f" and {len(present) - 3} more" if len(present) > 3 else ""
        reason = f"isn't empty: {', '.join(present[:3])}{more}"
    elif destination.exists() or destination.is_symlink():
        reason = "is a file"
    elif above := [each for each in destination.parents if each.exists() and not each.is_dir()]:
        reason = f"would lie in {above[0]}, which is a file"
    else:
        return
    raise CommandError(
        f"nothing was written, because {destination} {reason}. Name another folder; for a project "
        "that exists there is `ml-architect adopt`"
    )


def _move(staged: Path, destination: Path) -> None:
    """Put the project into its place at once; into a folder that is there, file by file."""
    if not destination.exists():
        staged.rename(destination)
        return
    for path in staged.iterdir():
        path.rename(destination / path.name)


def _tree(folder: Path, tree: Tree) -> Tree:
    for path in sorted(folder.iterdir(), key=lambda each: (each.is_file(), each.name)):
        branch = tree.add(path.name + ("/" if path.is_dir() else ""))
        if path.is_dir():
            _tree(path, branch)
    return tree
