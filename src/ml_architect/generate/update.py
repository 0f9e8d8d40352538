"""`update`: what would change and why, file by file and by owner; then the change itself.

The update is made twice: first in a clone of the project that is thrown away, to show it, then in
the project. Copier's merge depends on nothing but the two versions, the answers and the committed
files, so that both come out alike.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from copier._main import Worker
from copier._settings import SettingsModel
from packaging.version import Version
from rich.console import Console

from ..errors import CommandError, Declined
from .repository import (
    back,
    committed_conflicts,
    git,
    git_line,
    ignored,
    is_conflict,
    require_clean,
    temporary_folder,
    whole_or_nothing,
)
from .screen import confirmed, say
from .template import (
    ANSWERS,
    FIRST,
    changes,
    copiers_errors,
    essence,
    is_supported,
    newest,
    require_questions,
    version_of,
)


@dataclass(frozen=True, slots=True)
class Change:
    """What the update does to one file."""

    path: str
    kind: str  # "new", "changed", "gone", "conflict"
    owner: str  # "yours", "the template's"


@dataclass(frozen=True, slots=True)
class Applied:
    """What an update was."""

    old: str  # version
    new: str
    commit: str  # of the new version
    changelog: str  # of the new version
    notes: list[str]  # what the migrations did, a line each


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What was asked for on the command line."""

    project: Path
    address: str
    version: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    yes: bool = False
    preview: bool = False
    why: bool = False  # the whole changelog
    command: str = "ml-architect update"  # what does what a preview has shown

    def __call__(self, console: Console) -> bool:
        """Show, ask, update.

        Returns:
            Whether it merged without a conflict.

        Raises:
            CommandError: the project can't be updated as it is; nothing was touched.
            Declined: the person said no.
        """
        given = self.project.expanduser().resolve()
        project = find_root(given) if given.is_dir() else given
        recorded = read_recorded(project)
        self._require_trust(recorded, project)
        require_clean(project)
        _require_tracked(project)
        head = git_line(project, "rev-parse", "HEAD")
        _say_forgotten(project, console)
        with copiers_errors(self.address, self.version):
            version = newest(recorded["_src_path"], self.version)
        say(console, f"Trying it in a copy of {project} …", "dim")
        with temporary_folder() as folder:
            top = Path(git_line(project, "rev-parse", "--show-toplevel"))
            if top.name != top.name.rstrip():
                raise CommandError(
                    f"Copier can't update '{top}', whose name ends in a space. First rename it"
                )
            copy = folder / top.name
            git(top, "clone", "--quiet", "--no-hardlinks", ".", str(copy))
            inside = copy / project.relative_to(top)
            done = self._apply(inside, ignored(project), version)
            found = found_changes(inside)
            _bring_blobs(done.notes, copy, project)
            hidden = hidden_by_gitignore(inside)
        found += [Change(name, "new", "the template's") for name in hidden]
        if not found:
            say(console, f"Nothing to do: this project is at {done.new} already.")
            return True
        _say_why(done, self.data, console, whole=self.why)
        _say_what(found, done.notes, console)
        if self.preview:
            say(console, f"\nNothing was changed. To do it: {self.command}")
            return not _conflicts(found)
        if not self.yes and not confirmed("Do it?"):
            raise Declined("nothing was changed")
        require_clean(project)  # a person may have taken their time over the question
        if git_line(project, "rev-parse", "HEAD") != head:
            raise CommandError(
                f"nothing was changed: {project} has other commits than when this was shown. Look "
                f"again: {self.command}"
            )
        new = [each.path for each in found if each.kind == "new"]
        changed = [each.path for each in found if each.kind != "new"]
        # What was shown is what is done, also where the template has a newer version by now; only
        # a folder that isn't committed has no commit to name.
        version = version if version == "HEAD" else done.commit
        with whole_or_nothing(project, changed, new):
            self._apply(project, ignored(project), version)
            if hidden:  # or they would be missing from the commit
                git(project, "add", "--force", "--intent-to-add", "--", *hidden)
        conflicts = _conflicts(found_changes(project))
        _say_next(project, conflicts, console)
        return not conflicts

    def _require_trust(self, recorded: Mapping[str, Any], project: Path) -> None:
        """An update runs the template's Python, so it has to come from where we came from."""
        made_from = str(recorded["_src_path"])
        moved = f"write `_src_path: {self.address}` into {project / ANSWERS} and commit that"
        reason = None
        if not REMOTE.match(made_from):
            if not Path(made_from).is_absolute():
                reason = "is relative, hence another place from each folder"
            elif not Path(made_from).is_dir():
                reason = "isn't there any more"
        if reason:
            raise CommandError(
                f"this project was made from {made_from}, which {reason}. If that template lies in "
                f"{self.address} now: {moved}"
            )
        if _comparable(made_from) != _comparable(self.address):
            raise CommandError(
                f"this project was made from {made_from}, and this ml-architect came from "
                f"{self.address}. If you trust the former: --template {made_from}; if it has moved "
                f"to the latter: {moved}"
            )

    def _apply(self, project: Path, left_alone: list[str], version: str | None) -> Applied:
        """Update a folder."""
        with (
            copiers_errors(self.address, self.version),
            Worker(
                dst_path=project,
                vcs_ref=version,
                data=dict(self.data),
                settings=SettingsModel(),
                exclude=left_alone,
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
            if not is_supported(versions[0]):
                raise CommandError(
                    f"this project was made with {versions[0]}, and updates begin with {FIRST}. "
                    "Make a new project (ml-architect new DEST) and move data/source.py, "
                    "features/transforms.py, models/network.py and configs/ into it"
                )
            if Version(versions[0]) > Version(versions[1]):
                raise CommandError(
                    f"this project was made with {versions[0]}, newer than {versions[1]}, which "
                    "this would bring. Leave --version out, or fetch the template's newest"
                )
            changelog = (new.local_abspath / "CHANGELOG.md").read_text(encoding="utf-8")
            with _printed() as notes:
                worker.run_update()
            commit = str(new.commit_hash)
        return Applied(*versions, commit, changelog, notes)


RESTORE = f"Was it edited? The last one that worked: git log --oneline -- {ANSWERS}"


REMOTE = re.compile(r"[\w+.-]{2,}:|[\w.-]+@")
"""How an address begins that isn't a folder's; one letter and a colon are a drive of Windows."""


def find_root(folder: Path) -> Path:
    """The project that a folder lies in, or the folder itself where there is none."""
    return next((each for each in (folder, *folder.parents) if (each / ANSWERS).is_file()), folder)


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


def found_changes(project: Path) -> list[Change]:
    """What an update did to a project whose files were all committed before, by path."""
    found: list[Change] = []
    listed = git(
        project, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "."
    )
    inside = git_line(project, "rev-parse", "--show-prefix")  # empty at the repository's root
    for entry in filter(None, listed.split("\0")):
        code, path = entry[:2], entry[3:].removeprefix(inside)
        kind = "changed"
        if is_conflict(code):
            kind = "conflict"
        elif code == "??" or "A" in code:
            kind = "new"
        elif "D" in code:
            kind = "gone"
        found.append(Change(path, kind, _owner(project / path)))
    return sorted(found, key=lambda each: each.path)


def hidden_by_gitignore(project: Path) -> list[str]:
    """Files in a clone that was updated which its `.gitignore` hides: a clone has none before."""
    listed = git(project, "ls-files", "--others", "--ignored", "--exclude-standard", "-z")
    return sorted(filter(None, listed.split("\0")))


def _owner(file: Path) -> str:
    if not file.is_file():
        return "the template's"
    head = file.read_text(encoding="utf-8", errors="replace").splitlines()[:3]
    return "yours" if any("Yours:" in line for line in head) else "the template's"


def _require_tracked(project: Path) -> None:
    if not git(project, "ls-files", "--", ANSWERS):
        raise CommandError(
            f"git ignores {ANSWERS}, without which no copy of this project knows where it came "
            f"from. First: git add --force {ANSWERS} && git commit"
        )


def _say_forgotten(project: Path, console: Console) -> None:
    if found := committed_conflicts(project):
        say(
            console,
            f"Committed with the marks of an earlier conflict in it: {', '.join(found)}. Look for "
            "<<<<<<< before updating",
            "bold red",
        )


def _conflicts(found: list[Change]) -> list[str]:
    return [each.path for each in found if each.kind == "conflict"]


def _say_why(done: Applied, data: Mapping[str, Any], console: Console, *, whole: bool) -> None:
    if done.old == done.new:
        say(console, f"This project is at {done.new}.")
    else:
        say(console, f"From {done.old} to {done.new}.")
    brought = changes(done.changelog, done.old, done.new)
    for heading, text in brought:
        say(console, f"\n{heading}\n\n{text if whole else essence(text)}")
    if brought and not whole:
        say(console, "\nAll that each brings, and why: --why", "dim")
    if data:
        said = ", ".join(f"{name} = {value}" for name, value in data.items())
        say(console, f"\nAnswered anew: {said}")


def _say_what(found: list[Change], notes: list[str], console: Console) -> None:
    for owner in ("the template's", "yours"):
        files = [each for each in found if each.owner == owner]
        if files:
            say(console, f"\nFiles that are {owner}:")
        for each in files:
            style = "bold red" if each.kind == "conflict" else None
            say(console, f"  {each.kind:<9} {each.path}", style)
    if notes:
        say(console, "\nTo know:")
    for note in notes:
        say(console, f"  {note}")
    if count := len(_conflicts(found)):
        conflict = "1 file conflicts" if count == 1 else f"{count} files conflict"
        say(console, f"\n{conflict}: you and the template changed the same lines.")


def _say_next(project: Path, conflicts: list[str], console: Console) -> None:
    settle, first = "", "git diff"
    if conflicts:
        settle = f", with conflicts to settle by hand: look for <<<<<<< in {', '.join(conflicts)}"
        first = f"git add {shlex.join(conflicts)}"
    commands = [first, "pip install --editable '.[dev]' && pytest", "git add --all && git commit"]
    if project != Path.cwd():
        commands.insert(0, f"cd {shlex.quote(str(project))}")
    listed = "\n".join(f"    {each}" for each in commands)
    say(console, f"\nUpdated{settle}. Next:\n\n{listed}\n\nTo go back instead: {back(project)}")


def _bring_blobs(notes: list[str], copy: Path, project: Path) -> None:
    """Let `git diff` of what the template changed in the owner's files work in the project, too."""
    for note in notes:
        for blob in re.findall(r"\b[0-9a-f]{12}\b", note.partition(": git diff ")[2]):
            show, keep = ["git", "cat-file", "blob", blob], ["git", "hash-object", "-w", "--stdin"]
            content = subprocess.run(show, cwd=copy, capture_output=True, check=True).stdout
            subprocess.run(keep, cwd=project, input=content, capture_output=True, check=True)


@contextmanager
def _printed() -> Generator[list[str]]:
    """Catch what the processes that Copier starts print: the migrations say what they did."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        screen = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield lines
        finally:
            os.dup2(screen, 1)
            os.close(screen)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def _comparable(address: str) -> str:
    return address.removeprefix("git+").removesuffix("/").removesuffix(".git")
