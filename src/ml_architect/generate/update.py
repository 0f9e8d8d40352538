"""`update`: shows what would change and why, file by file and by owner; then changes it.

Copier updates a temporary clone of the project. What came out is shown, and git then makes the same
changes in the project.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from packaging.version import Version
from rich.console import Console

from ..errors import CommandError, Declined, load_yaml
from .existing import installation
from .repository import (
    BlockedError,
    back,
    committed_conflicts,
    git,
    git_line,
    ignored,
    is_plain,
    only_update,
    own,
    pattern,
    require_clean,
    require_filters,
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
    require_plain,
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
    changelog: str  # of the new version
    notes: list[str]  # one line per migration
    files: dict[str, bytes]  # the template's in the old version


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
        _show_committed_conflicts(project, console)
        with only_update(project), temporary_folder() as folder:
            with one_line_errors(self.address, self.version):
                version = newest(recorded["_src_path"], self.version)
            show(console, f"Testing the update in a copy of {project} …", "dim")
            clone = Clone.of(project, folder)
            yours = self._yours(recorded)
            excluded = [*ignored(project), *map(pattern, filter(is_plain, yours))]
            try:
                applied = self._apply(clone.project, excluded, version)
            except BlockedError as error:
                answer = shlex.quote(f"yours=[{', '.join([*yours, *error.paths])}]")
                raise CommandError(f"{error}, or leave it alone: --data {answer}") from None
            result = clone.result()
            if not result.changes:
                show(console, f"Nothing to do: this project is at {applied.new} already.")
                return True
            notes = [*applied.notes, *self._missed(applied.files, clone.project, version)]
            _copy_blobs(BLOBS.findall("\n".join(notes)), clone.top, project)
            _show_reasons(applied, self.data, console, whole=self.why)
            _show_changes(result.changes, notes, console)
            if self.preview:
                show(console, f"\nNothing was changed. To apply it: {self.command}")
                return not result.conflicts
            present = [change.path for change in result.changes if change.kind != "new"]
            require_filters(project, present)
            if not self.yes and not confirm("Apply it?"):
                raise Declined("nothing was changed")
            require_clean(project)  # the user may have changed files while the question was open
            if git_line(project, "rev-parse", "HEAD") != clone.head:
                raise CommandError(
                    f"nothing was changed: {project} has other commits than when this was shown. "
                    f"Try again: {self.command}"
                )
            clone.transfer(result, project)
        _show_next_steps(project, result.conflicts, console)
        return not result.conflicts

    def _yours(self, recorded: Mapping[str, Any]) -> list[str]:
        """The paths that the owner has taken over, before they are validated with all answers."""
        yours: Any = self.data.get("yours", recorded.get("yours"))
        with suppress(ValueError):
            yours = load_yaml(yours) if isinstance(yours, str) else yours
        paths = cast("list[Any]", yours) if isinstance(yours, list) else []
        return [path for path in paths if isinstance(path, str)]

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
                f"{self.address}. If you trust the former: --template {shlex.quote(source)}; if it "
                f"has moved to the latter: {edit}"
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
        return Applied(*versions, changelog, notes, worker.old)

    def _missed(self, old: dict[str, bytes], project: Path, version: str | None) -> list[str]:
        """Notes on files that the template has changed, but that the owner has moved or deleted.

        Args:
            old: the template's files in the version that the project had.
            project: the updated clone.
            version: the new one.
        """
        present = set(git(project, "ls-tree", "-r", "-z", "--name-only", "HEAD").split("\0"))
        gone = [path for path in old if path not in present]
        if not gone:
            return []
        answers = read_recorded(project)
        folder = Path(tempfile.mkdtemp()) / project.name
        given = {name: value for name, value in answers.items() if not name.startswith("_")}
        with open_template(
            answers["_src_path"], version, dst_path=folder, data=given, defaults=True
        ) as worker:
            worker.run_copy()
        new = {path: (folder / path).read_bytes() for path in gone if (folder / path).is_file()}
        changed = [path for path in new if old[path] != new[path]]
        if not changed:
            return []

        # Let git compare the old files with all that the project has.
        blobs = {path: _store(project, old[path]) for path in changed}
        entries = "".join(f"100644 blob {blob}\t{path}\n" for path, blob in blobs.items())
        index = {"GIT_INDEX_FILE": str(own(project, "missed"))}
        git(project, "update-index", "--index-info", stdin=entries, environment=index)
        tree = git(project, "write-tree", environment=index).strip()
        options = ("-r", "-z", "--find-renames", "--diff-filter=R", "--name-status")
        listed = git(project, "diff-tree", *options, tree, "HEAD:./").split("\0")
        moved = dict(zip(listed[1::3], listed[2::3], strict=False))
        notes = [
            f"{path} is {target} here, so it isn't updated; what the template changed: git diff "
            f"{blobs[path][:12]} {_store(project, new[path])[:12]}"
            for path, target in moved.items()
        ]
        if deleted := [path for path in changed if path not in moved]:
            notes.append(f"you deleted, so not updated: {', '.join(deleted)}")
        return notes


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
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise CommandError(
            f"{file} is a link or another kind of file, and an update has to write it. Replace it "
            "by a file, and commit"
        )
    try:
        content: Any = load_yaml(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CommandError(
            f"{project} has no {ANSWERS}: it isn't a project of this template, or not its root"
        ) from None
    except ValueError as error:
        raise CommandError(f"{file} can't be read ({error}). {RESTORE}") from None
    recorded = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    for name in ("_src_path", "_commit"):
        if not isinstance(recorded.get(name), str):
            raise CommandError(f"{file} has no {name}, which names the template. {RESTORE}")
    require_plain({n: v for n, v in recorded.items() if not n.startswith("_")}, str(file))
    return recorded


@dataclass(frozen=True, slots=True)
class Result:
    """What an update made of a project."""

    tree: str  # git's name of all files
    changes: list[Change]
    unmerged: str  # the index entries of conflicts, as git lists them
    hidden: list[str]  # new files that .gitignore hides

    @property
    def conflicts(self) -> list[str]:
        """The files with conflicts."""
        return [change.path for change in self.changes if change.kind == "conflict"]


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone of a project in which Copier updates it. Only git writes into the project itself.

    The clone has files as git stores them, without the line ends, links and large files that a
    checkout makes of them: so Copier merges by content, and can't write through a link.
    """

    top: Path
    project: Path  # below it, or the same
    head: str
    from_windows: list[str]  # files whose line ends were CRLF

    @classmethod
    def of(cls, project: Path, folder: Path) -> Clone:
        """Clone a project into a folder.

        Raises:
            CommandError: Copier can't update such a repository.
        """
        top = Path(git_line(project, "rev-parse", "--show-toplevel"))
        if top.name != top.name.rstrip():
            raise CommandError(
                f"Copier can't update '{top}', whose name ends in a space. First rename it"
            )
        names = [str(top), *git(top, "ls-files", "-z").split("\0")]
        if hostile := next(filter(SURROGATES.search, names), None):
            raise CommandError(
                f"Copier can't update a project with the name {hostile}, which isn't UTF-8. First "
                "rename it"
            )
        if git_line(top, "rev-parse", "--show-object-format") != "sha1":
            raise CommandError(
                f"Copier can't update {top}, whose objects have SHA-256 names. First make it a "
                "repository with SHA-1 names: git init --object-format=sha1"
            )
        clone = folder / top.name
        options = ("core.autocrlf=false", "core.symlinks=false", "core.hooksPath=/dev/null")
        configured = [word for option in options for word in ("--config", option)]
        copied = ("--quiet", "--no-hardlinks", "--no-checkout", *configured)
        git(top, "clone", *copied, ".", str(clone))
        attributes = clone / ".git/info/attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text("* -text -filter -ident !working-tree-encoding !diff !merge\n")
        git(clone, "reset", "--quiet", "--hard")
        head = git_line(clone, "rev-parse", "HEAD")
        listed = git(clone, "ls-files", "--eol", "-z").split("\0")
        from_windows = [line.partition("\t")[2] for line in listed if line.startswith("i/crlf")]
        for name in from_windows:
            (clone / name).write_bytes((clone / name).read_bytes().replace(b"\r\n", b"\n"))
        if from_windows:
            nobody = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
            git(clone, *nobody, "commit", "--quiet", "--no-gpg-sign", "--all", "-m", "Line ends")
        return cls(clone, clone / project.relative_to(top), head, from_windows)

    def result(self) -> Result:
        """The state of the clone after the update."""
        unmerged = git(self.project, "ls-files", "--unmerged", "--full-name", "-z")
        prefix = git_line(self.project, "rev-parse", "--show-prefix")  # empty at the root
        names = [entry.partition("\t")[2] for entry in unmerged.split("\0")]
        conflicts = {name.removeprefix(prefix) for name in filter(None, names)}
        hidden = git(self.project, "ls-files", "--others", "--ignored", "--exclude-standard", "-z")
        hidden_names = sorted(filter(None, hidden.split("\0")))
        for name in filter(Path.is_file, (self.top / name for name in self.from_windows)):
            name.write_bytes(name.read_bytes().replace(b"\n", b"\r\n"))
        git(self.top, "add", "--all")
        if hidden_names:
            git(self.project, "add", "--force", "--", *hidden_names)
        tree = git_line(self.top, "write-tree")
        options = ("-r", "-z", "--no-renames", "--relative", "--name-status")
        listed = git(self.project, "diff-tree", *options, self.head, tree).split("\0")
        kinds = dict(zip(listed[1::2], listed[0::2], strict=False)) | dict.fromkeys(conflicts, "U")
        changes = [
            Change(path, KINDS[kind], _owner(self.project / path))
            for path, kind in sorted(kinds.items())
        ]
        return Result(tree, changes, unmerged, hidden_names)

    def transfer(self, result: Result, project: Path) -> None:
        """Let git make the same changes in the project, whole or not at all."""
        new = [change.path for change in result.changes if change.kind == "new"]
        changed = [change.path for change in result.changes if change.kind != "new"]
        if present := [name for name in new if os.path.lexists(project / name)]:
            raise CommandError(f"nothing was changed: {present[0]} has been created meanwhile")
        index = self.top.parent / "index"  # not the project's own, where nothing gets staged
        shutil.copy(own(project, "index"), index)
        environment = {
            "GIT_INDEX_FILE": str(index),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.top / ".git/objects"),
        }
        _copy_blobs(re.findall(r"\b[0-9a-f]{40}\b", result.unmerged), self.top, project)
        with whole_or_nothing(project, changed, new):
            command = ("read-tree", "-m", "-u", self.head, result.tree)
            git(project, *command, environment=environment)
            if result.unmerged:
                names = {entry.partition("\t")[2] for entry in result.unmerged.split("\0")}
                removed = [f"0 {'0' * 40}\t{name}" for name in names if name]
                entries = "\0".join([*removed, result.unmerged])
                git(project, "update-index", "-z", "--index-info", stdin=entries)
            if result.hidden:  # otherwise the user's commit would lack them
                git(project, "add", "--force", "--intent-to-add", "--", *result.hidden)


KINDS = {"A": "new", "M": "changed", "T": "changed", "D": "deleted", "U": "conflict"}
"""By git's letters."""

SURROGATES = re.compile(r"[\ud800-\udfff]")
"""In names that aren't UTF-8, as Python reads them."""

BLOBS = re.compile(r"(?<=: git diff )[0-9a-f]{12}|(?<=: git diff .{12} )[0-9a-f]{12}")
"""At the end of a note that shows what the template changed."""


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
    if count := sum(change.kind == "conflict" for change in changes):
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


def _copy_blobs(blobs: Iterable[str], clone: Path, project: Path) -> None:
    """Copy what git stores under these names from a clone into the project."""
    for blob in blobs:
        read = ["git", "cat-file", "blob", blob]
        content = subprocess.run(read, cwd=clone, capture_output=True, check=True).stdout
        _store(project, content)


def _store(project: Path, content: bytes) -> str:
    """Let git store a content. Returns its name."""
    write = ["git", "hash-object", "-w", "--stdin"]
    done = subprocess.run(write, cwd=project, input=content, capture_output=True, check=True)
    return done.stdout.decode().strip()


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
