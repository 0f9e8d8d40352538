"""`update`: shows what would change and why, file by file and by owner; then changes it.

The update is run twice: first in a temporary clone of the project, to show it, then in the project.
Both give the same result, since Copier's merge depends only on the two versions, the answers and
the committed files.
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
from packaging.version import Version
from rich.console import Console

from ..errors import CommandError, Declined
from .existing import installation
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
from .screen import confirm, show
from .template import (
    ANSWERS,
    FIRST,
    changes,
    is_supported,
    one_line_errors,
    require_questions,
    summarize,
    version_of,
)
from .worker import newest, open_template

OWNERS_FILES = (
    "settings.py, data/source.py, features/transforms.py, models/network.py, eval/metrics.py"
)
"""In a project's package. `copier.yml` leaves them out of updates."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change to one file."""

    path: str
    kind: str  # "new", "changed", "deleted", "conflict"
    owner: str  # "yours", "the template's"


@dataclass(frozen=True, slots=True)
class Applied:
    """An update that was applied."""

    old: str  # version
    new: str
    commit: str  # of the new version
    changelog: str  # of the new version
    notes: list[str]  # one line per migration


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The options of the command."""

    project: Path
    address: str
    version: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    yes: bool = False
    preview: bool = False
    why: bool = False  # show the whole changelog
    command: str = "ml-architect update"  # applies what a preview has shown

    def __call__(self, console: Console) -> bool:
        """Show, ask, update.

        Returns:
            Whether it merged without a conflict.

        Raises:
            CommandError: the project can't be updated in its present state; nothing was changed.
            Declined: the user declined.
        """
        given = self.project.expanduser().resolve()
        project = find_root(given) if given.is_dir() else given
        recorded = read_recorded(project)
        self._require_trust(recorded, project)
        require_clean(project)
        _require_tracked(project)
        head = git_line(project, "rev-parse", "HEAD")
        _show_committed_conflicts(project, console)
        with one_line_errors(self.address, self.version):
            version = newest(recorded["_src_path"], self.version)
        show(console, f"Testing the update in a copy of {project} …", "dim")
        with temporary_folder() as folder:
            top = Path(git_line(project, "rev-parse", "--show-toplevel"))
            if top.name != top.name.rstrip():
                raise CommandError(
                    f"Copier can't update '{top}', whose name ends in a space. First rename it"
                )
            clone = folder / top.name
            git(top, "clone", "--quiet", "--no-hardlinks", ".", str(clone))
            copy = clone / project.relative_to(top)
            applied = self._apply(copy, ignored(project), version)
            changes = find_changes(copy)
            _copy_blobs(applied.notes, clone, project)
            hidden = hidden_by_gitignore(copy)
        changes += [Change(name, "new", "the template's") for name in hidden]
        if not changes:
            show(console, f"Nothing to do: this project is at {applied.new} already.")
            return True
        _show_reasons(applied, self.data, console, whole=self.why)
        _show_changes(changes, applied.notes, console)
        if self.preview:
            show(console, f"\nNothing was changed. To apply it: {self.command}")
            return not _conflicts(changes)
        if not self.yes and not confirm("Apply it?"):
            raise Declined("nothing was changed")
        require_clean(project)  # the user may have changed files while the question was open
        if git_line(project, "rev-parse", "HEAD") != head:
            raise CommandError(
                f"nothing was changed: {project} has other commits than when this was shown. Try "
                f"again: {self.command}"
            )
        new = [change.path for change in changes if change.kind == "new"]
        changed = [change.path for change in changes if change.kind != "new"]
        # Apply the version that was shown, even if a newer one has been published since. A folder
        # with uncommitted changes has no commit to name.
        version = version if version == "HEAD" else applied.commit
        with whole_or_nothing(project, changed, new):
            self._apply(project, ignored(project), version)
            if hidden:  # otherwise the user's commit would lack them
                git(project, "add", "--force", "--intent-to-add", "--", *hidden)
        conflicts = _conflicts(find_changes(project))
        _show_next_steps(project, conflicts, console)
        return not conflicts

    def _require_trust(self, recorded: Mapping[str, Any], project: Path) -> None:
        """Refuse other templates than the one of this package: an update runs their Python code."""
        source = str(recorded["_src_path"])
        edit = f"write `_src_path: {self.address}` into {project / ANSWERS} and commit that"
        reason = None
        if not REMOTE.match(source):
            if not Path(source).is_absolute():
                reason = "is relative, so it depends on the current folder"
            elif not Path(source).is_dir():
                reason = "doesn't exist any more"
        if reason:
            raise CommandError(
                f"this project was made from {source}, which {reason}. If that template is in "
                f"{self.address} now: {edit}"
            )
        if not is_same_address(source, self.address):
            raise CommandError(
                f"this project was made from {source}, and this ml-architect came from "
                f"{self.address}. If you trust the former: --template {source}; if it has moved "
                f"to the latter: {edit}"
            )

    def _apply(self, project: Path, excluded: list[str], version: str | None) -> Applied:
        """Update a folder."""
        with (
            one_line_errors(self.address, self.version),
            open_template(
                None,  # the recorded address
                version,
                dst_path=project,
                data=dict(self.data),
                exclude=excluded,
                defaults=True,
                overwrite=True,
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
                    f"Make a new project (ml-architect new DEST) and move configs/ and your code "
                    f"into it: {OWNERS_FILES}"
                )
            if Version(versions[0]) > Version(versions[1]):
                raise CommandError(
                    f"this project was made with {versions[0]}, newer than {versions[1]}, to which "
                    "this would update it. Omit --version, or fetch the newest template"
                )
            changelog = (new.local_abspath / "CHANGELOG.md").read_text(encoding="utf-8")
            with _captured_output() as notes:
                worker.run_update()
            commit = str(new.commit_hash)
        return Applied(*versions, commit, changelog, notes)


RESTORE = f"Was it edited? Find the last valid one: git log --oneline -- {ANSWERS}"

REMOTE = re.compile(r"[\w+.-]{2,}:|[\w.-]+@")
"""How an address begins that isn't a folder; one letter and a colon are a drive of Windows."""


def find_root(folder: Path) -> Path:
    """The project that contains a folder, or the folder itself if there is none."""
    return next((path for path in (folder, *folder.parents) if (path / ANSWERS).is_file()), folder)


def read_recorded(project: Path) -> dict[str, Any]:
    """The template, version and answers that a project records.

    Raises:
        CommandError: they are missing or can't be read.
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
        reason = str(error).splitlines()[0]
        raise CommandError(f"{file} can't be read ({reason}). {RESTORE}") from None
    recorded = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    for name in ("_src_path", "_commit"):
        if not isinstance(recorded.get(name), str):
            raise CommandError(f"{file} has no {name}, which names the template. {RESTORE}")
    return recorded


def find_changes(project: Path) -> list[Change]:
    """The changes in a project whose files were all committed before the update, by path."""
    changes: list[Change] = []
    status = git(
        project, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "."
    )
    prefix = git_line(project, "rev-parse", "--show-prefix")  # empty at the repository's root
    for entry in filter(None, status.split("\0")):
        code, path = entry[:2], entry[3:].removeprefix(prefix)
        kind = "changed"
        if is_conflict(code):
            kind = "conflict"
        elif code == "??" or "A" in code:
            kind = "new"
        elif "D" in code:
            kind = "deleted"
        changes.append(Change(path, kind, _owner(project / path)))
    return sorted(changes, key=lambda change: change.path)


def hidden_by_gitignore(project: Path) -> list[str]:
    """New files that `.gitignore` hides, in an updated clone: a fresh clone has no such files."""
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
            f"git ignores {ANSWERS}, which names this project's template. "
            f"First: git add --force {ANSWERS} && git commit"
        )


def _show_committed_conflicts(project: Path, console: Console) -> None:
    if files := committed_conflicts(project):
        text = f"Committed with the conflict markers of an earlier update: {', '.join(files)}. "
        show(console, f"{text}Look for <<<<<<< before updating", "bold red")


def _conflicts(changes: list[Change]) -> list[str]:
    return [change.path for change in changes if change.kind == "conflict"]


def _show_reasons(
    applied: Applied, data: Mapping[str, Any], console: Console, *, whole: bool
) -> None:
    if applied.old == applied.new:
        show(console, f"This project is at {applied.new}.")
    else:
        show(console, f"From {applied.old} to {applied.new}.")
    sections = changes(applied.changelog, applied.old, applied.new)
    for heading, text in sections:
        show(console, f"\n{heading}\n\n{text if whole else summarize(text)}")
    if sections and not whole:
        show(console, "\nThe whole changelog: --why", "dim")
    if data:
        answers = ", ".join(f"{name} = {value}" for name, value in data.items())
        show(console, f"\nChanged answers: {answers}")


def _show_changes(changes: list[Change], notes: list[str], console: Console) -> None:
    for owner in ("the template's", "yours"):
        files = [change for change in changes if change.owner == owner]
        if files:
            show(console, f"\nFiles that are {owner}:")
        for change in files:
            style = "bold red" if change.kind == "conflict" else None
            show(console, f"  {change.kind:<9} {change.path}", style)
    if notes:
        show(console, "\nNotes:")
    for note in notes:
        show(console, f"  {note}")
    if count := len(_conflicts(changes)):
        files = "1 file conflicts" if count == 1 else f"{count} files conflict"
        show(console, f"\n{files}: you and the template changed the same lines.")


def _show_next_steps(project: Path, conflicts: list[str], console: Console) -> None:
    resolve, first = "", "git diff"
    if conflicts:
        resolve = f", with conflicts. Resolve them: look for <<<<<<< in {', '.join(conflicts)}"
        first = f"git add {shlex.join(conflicts)}"
    commands = [first, f"{installation(project)} && pytest", "git add --all && git commit"]
    if project != Path.cwd():
        commands.insert(0, f"cd {shlex.quote(str(project))}")
    lines = "\n".join(f"    {command}" for command in commands)
    show(console, f"\nUpdated{resolve}. Next:\n\n{lines}\n\nTo undo the update: {back(project)}")


def _copy_blobs(notes: list[str], clone: Path, project: Path) -> None:
    """Copy the blobs of the `git diff` commands in migrations' notes into the project."""
    for note in notes:
        for blob in re.findall(r"\b[0-9a-f]{12}\b", note.partition(": git diff ")[2]):
            read, write = ["git", "cat-file", "blob", blob], ["git", "hash-object", "-w", "--stdin"]
            content = subprocess.run(read, cwd=clone, capture_output=True, check=True).stdout
            subprocess.run(write, cwd=project, input=content, capture_output=True, check=True)


@contextmanager
def _captured_output() -> Generator[list[str]]:
    """Capture the lines that migrations, which are processes of their own, print."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        stdout = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield lines
        finally:
            os.dup2(stdout, 1)
            os.close(stdout)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def is_same_address(one: str, other: str) -> bool:
    """Whether two spellings of an address name the same repository."""

    def normalize(address: str) -> str:
        return address.removeprefix("git+").removesuffix("/").removesuffix(".git")

    return normalize(one) == normalize(other)
