"""`update`: what would change and why, file by file and by owner; then the change itself.

The update is made twice: first in a clone of the project that is thrown away, to show it, then in
the project. Copier's merge depends on nothing but the two versions, the answers and the committed
files, so that both come out alike.
"""

from __future__ import annotations

import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from copier._main import Worker
from copier._settings import SettingsModel
from rich.console import Console

from .errors import CommandError, Declined
from .template import changes, copiers_errors, numbers, require_questions

ANSWERS = ".copier-answers.yml"


@dataclass(frozen=True, slots=True)
class Change:
    """What the update does to one file."""

    path: str
    kind: str  # "new", "changed", "gone", "conflict"
    owner: str  # "yours", "the template's"


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What was asked for on the command line."""

    project: Path
    address: str
    version: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    yes: bool = False
    preview: bool = False

    def __call__(self, console: Console) -> bool:
        """Show, ask, update.

        Returns:
            Whether it merged without a conflict.

        Raises:
            CommandError: the project can't be updated as it is; nothing was touched.
            Declined: the person said no.
        """
        project = self.project.expanduser().resolve()
        recorded = read_recorded(project)
        self._require_trust(recorded)
        _require_clean(project)
        with tempfile.TemporaryDirectory(prefix="ml-architect-") as folder:
            copy = Path(folder) / project.name
            _git(project, "clone", "--quiet", "--no-hardlinks", ".", str(copy))
            versions, text = self._apply(copy)
            found = found_changes(copy)
        if not found:
            _say(console, f"Nothing to do: this project is at {versions[1]} already.")
            return True
        _say_why(versions, text, self.data, console)
        _say_what(found, console)
        conflicts = [each for each in found if each.kind == "conflict"]
        if self.preview:
            return not conflicts
        if not self.yes and not _confirmed():
            raise Declined("nothing was changed")
        self._apply(project)
        if conflicts:
            _say(
                console,
                f"\nUpdated, with {len(conflicts)} to settle by hand: look for <<<<<<< in "
                f"{', '.join(each.path for each in conflicts)}; then git add them.\n"
                "To go back instead: git reset --hard && git clean -d --force",
            )
        else:
            _say(
                console,
                "\nUpdated. Read it (git diff), run `pip install --editable '.[dev]'` and the "
                "tests, then commit.\nTo go back instead: git reset --hard && git clean -d --force",
            )
        return not conflicts

    def _require_trust(self, recorded: Mapping[str, Any]) -> None:
        """An update runs the template's Python, so it has to come from where we came from."""
        made_from = str(recorded["_src_path"])
        if _comparable(made_from) != _comparable(self.address):
            raise CommandError(
                f"this project was made from {made_from}, and this ml-architect came from "
                f"{self.address}. If you trust the former: --template {made_from}"
            )

    def _apply(self, project: Path) -> tuple[tuple[str, str], str]:
        """Update a folder. Gives the two versions, and the changelog of the new one."""
        with (
            copiers_errors(self.address, self.version),
            Worker(
                dst_path=project,
                vcs_ref=self.version,
                data=dict(self.data),
                settings=SettingsModel(),
                defaults=True,
                overwrite=True,
                quiet=True,
                unsafe=True,
            ) as worker,
        ):
            old, new = worker.subproject.template, worker.template
            if old is None:
                raise CommandError(f"{ANSWERS} names no template. {RESTORE}")
            require_questions(self.data, new.questions_data)
            versions = version_of(old.local_abspath), version_of(new.local_abspath)
            if numbers(versions[0]) > numbers(versions[1]):
                raise CommandError(
                    f"this project was made with {versions[0]}, newer than {versions[1]}, which "
                    "this would bring. Leave --version out, or fetch the template's newest"
                )
            changelog = (new.local_abspath / "CHANGELOG.md").read_text(encoding="utf-8")
            worker.run_update()
        return versions, changelog


RESTORE = f"Was it edited? The last one that worked: git log --oneline -- {ANSWERS}"


def read_recorded(project: Path) -> dict[str, Any]:
    """What a project says of where it came from.

    Raises:
        CommandError: it says nothing, or something that can't be read.
    """
    file = project / ANSWERS
    if not project.is_dir():
        raise CommandError(f"{project}: no such folder; expected a project made by ml-architect")
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CommandError(
            f"{project} has no {ANSWERS}: it isn't a project of this template, or not its root"
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        said = str(error).splitlines()[0]
        raise CommandError(f"{file} can't be read ({said}). {RESTORE}") from None
    recorded = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    for name in ("_src_path", "_commit"):
        if not isinstance(recorded.get(name), str):
            raise CommandError(f"{file} has no {name}, which says what it came from. {RESTORE}")
    return recorded


def version_of(template: Path) -> str:
    """The version that a checkout of the template says it has."""
    text = (template / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def found_changes(project: Path) -> list[Change]:
    """What an update did to a project whose files were all committed before, by path."""
    found: list[Change] = []
    listed = _git(
        project, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames"
    )
    for entry in filter(None, listed.split("\0")):
        code, path = entry[:2], entry[3:]
        kind = "changed"
        if "U" in code or code in {"AA", "DD"}:
            kind = "conflict"
        elif code == "??" or "A" in code:
            kind = "new"
        elif "D" in code:
            kind = "gone"
        found.append(Change(path, kind, _owner(project / path)))
    return sorted(found, key=lambda each: each.path)


def _owner(file: Path) -> str:
    if not file.is_file():
        return "the template's"
    head = file.read_text(encoding="utf-8", errors="replace").splitlines()[:3]
    return "yours" if any("Yours:" in line for line in head) else "the template's"


def _say(console: Console, text: str, style: str | None = None) -> None:
    """As it is: no markup, and no line broken, so that commands can be copied."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _say_why(
    versions: tuple[str, str], changelog: str, data: Mapping[str, Any], console: Console
) -> None:
    if versions[0] == versions[1]:
        _say(console, f"This project is at {versions[1]}.")
    else:
        _say(console, f"From {versions[0]} to {versions[1]}.")
    for heading, text in changes(changelog, *versions):
        _say(console, f"\n{heading}\n\n{text}")
    if data:
        said = ", ".join(f"{name} = {value}" for name, value in data.items())
        _say(console, f"\nAnswered anew: {said}")


def _say_what(found: list[Change], console: Console) -> None:
    for owner in ("the template's", "yours"):
        files = [each for each in found if each.owner == owner]
        if files:
            _say(console, f"\nFiles that are {owner}:")
        for each in files:
            style = "bold red" if each.kind == "conflict" else None
            _say(console, f"  {each.kind:<9} {each.path}", style)
    ends = [each.path for each in found if each.kind == "conflict"]
    if ends:
        _say(
            console,
            f"\n{len(ends)} of them conflict: you and the template changed the same lines.",
        )


def _confirmed() -> bool:
    import questionary

    try:
        return bool(questionary.confirm("Do it?", default=True, qmark="?").unsafe_ask())
    except EOFError:
        raise CommandError("there is no terminal to ask at: insist with --yes") from None


def _require_clean(project: Path) -> None:
    try:
        status = _git(project, "status", "--porcelain")
    except CommandError:
        raise CommandError(
            f"{project} isn't under git, so that an update couldn't be undone. First: git init && "
            "git add --all && git commit"
        ) from None
    if status:
        raise CommandError(
            f"{project} has changes that aren't committed ({len(status.splitlines())} files), and "
            "an update would mix with them. First: git commit, or git stash"
        )


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise CommandError(f"git {arguments[0]}: {said}")
    return done.stdout


def _comparable(address: str) -> str:
    return address.removeprefix("git+").removesuffix("/").removesuffix(".git")
