"""The git repository of a project: whether it is safe to change, and how to undo changes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from plumbum import local

from ..errors import CommandError, Untrusted

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
"""The owner's hooks are for their own commits and checkouts."""


def back(project: Path) -> str:
    """The command that undoes an update right after it; ignored files stay.

    It names the repository unless that is the current folder: elsewhere it would do harm.
    """
    option = "" if project.resolve() == Path.cwd() else f" -C {shlex.quote(str(project))}"
    return f"git{option} reset --hard && git{option} clean -d --force"


def git(
    folder: Path,
    *arguments: str,
    none: int = 0,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a git command and return its output.

    Args:
        folder: where it runs.
        arguments: of git.
        none: the exit code that means an empty result.
        stdin: its input.
        environment: variables in addition to this process's.

    Raises:
        CommandError: it failed; with the last line of its error.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",  # names of files are bytes
        check=False,
    )
    if done.returncode not in {0, none}:
        reason = (done.stderr.strip().splitlines() or [f"exited with {done.returncode}"])[-1]
        if re.search(r"filter .* failed", reason):
            reason += ". Install the program that it runs, such as git-lfs"
        if "dubious ownership" in done.stderr:
            raise Untrusted(
                f"{folder} belongs to another user, so git refuses it. If you trust its content: "
                f"{reason.strip()}"
            )
        raise CommandError(f"git {arguments[0]}: {reason}")
    return done.stdout


def git_line(folder: Path, *arguments: str) -> str:
    """Run a git command that prints one line; the name of a folder may end in a space."""
    return git(folder, *arguments).removesuffix("\n")


def require_clean(project: Path) -> None:
    """Refuse a project in which git couldn't separate an update from the owner's changes.

    Raises:
        CommandError: no repository, no commit, uncommitted changes, or git is running.
    """
    try:
        git(project, "rev-parse", "--verify", "HEAD")
    except Untrusted:
        raise
    except CommandError:
        raise CommandError(
            f"{project} isn't under git, or has no commit, so the update couldn't be undone. "
            "First: git init && git add --all && git commit"
        ) from None
    status = git(project, "status", "--porcelain", "--untracked-files=all")  # fails without git-lfs
    lock, mark = own(project, "index.lock"), _mark(project)
    if lock.exists():
        raise CommandError(
            f"git is running in {project}, or was killed there. If it isn't running: "
            f"rm {shlex.quote(str(lock))}"
        )
    lines = status.splitlines()
    if conflicts := [line[3:] for line in lines if is_conflict(line[:2])]:
        raise CommandError(
            f"{project} has conflicts. First resolve them: look for <<<<<<< in "
            f"{', '.join(conflicts)}, then git add and git commit; or git reset --hard"
        )
    if status and mark.exists():
        raise CommandError(
            f"{project} has uncommitted changes, and an update was killed there. Look at them (git "
            "status), or set them all aside: git stash --include-untracked"
        )
    if status:
        raise CommandError(
            f"{project} has uncommitted changes ({len(lines)} "
            f"{'file' if len(lines) == 1 else 'files'}), which would be mixed with the new ones. "
            "First: git commit, or git stash"
        )
    if hidden := _hidden(project):
        raise CommandError(
            f"git ignores changes to {hidden[0]} (skip-worktree, assume-unchanged), so they would "
            f"be lost. First: git update-index --no-skip-worktree "
            f"--no-assume-unchanged {shlex.quote(hidden[0])}"
        )
    mark.unlink(missing_ok=True)


def require_filters(project: Path, paths: list[str]) -> None:
    """Run the filters that git applies to these committed files, such as git-lfs.

    Raises:
        CommandError: one fails, as it would in the middle of an update.
    """
    if paths:
        attributes = git(project, "check-attr", "-z", "filter", "--", *paths).split("\0")
        for path, kind in zip(attributes[0::3], attributes[2::3], strict=False):
            if kind not in {"unspecified", "unset"}:
                git(project, "cat-file", "--filters", f"HEAD:./{path}")


def is_conflict(code: str) -> bool:
    """Whether a code of git's short status means an unresolved merge."""
    return "U" in code or code in {"AA", "DD"}


def committed_conflicts(project: Path) -> list[str]:
    """Files that were committed with the conflict markers of an update."""
    marks = ("-e", "^<<<<<<< before updating", "-e", "^>>>>>>> after updating")
    return list(filter(None, git(project, "grep", "-lz", *marks, none=1).split("\0")))


def _hidden(project: Path) -> list[str]:
    """Existing files whose changes git was configured to ignore."""
    listed = git(project, "ls-files", "-v", "-z").split("\0")
    tagged = [(line[0], line[2:]) for line in listed if line]
    return [
        name for tag, name in tagged if (tag == "S" or tag.islower()) and (project / name).exists()
    ]


@contextmanager
def whole_or_nothing(project: Path, changed: list[str], new: list[str]) -> Generator[None]:
    """Restore these files if an exception, Ctrl-C included, stops the changes; no others.

    After a SIGKILL a file stays in `.git`, from which `require_clean` knows what happened.
    """
    mark = _mark(project)
    mark.touch()
    try:
        yield
    except BaseException:
        try:
            git(project, "reset", "--quiet")
            if changed:
                git(project, *NO_HOOKS, "checkout", "--quiet", "HEAD", "--", *changed)
        except CommandError as error:
            raise CommandError(
                f"{error}. A part of the update is in the project. To undo it: {back(project)}"
            ) from None
        for name in new:
            (project / name).unlink(missing_ok=True)
        mark.unlink()
        raise
    mark.unlink()


def ignored(project: Path) -> list[str]:
    """What git ignores, as patterns for Copier, which would add such files."""
    listed = git(
        project, "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"
    )
    return [pattern(path) for path in filter(None, listed.split("\0")) if is_plain(path)]


def pattern(path: str) -> str:
    """One path as a pattern for Copier."""
    return "/" + re.sub(r"([\\*?\[\] ])", r"\\\1", path)


def is_plain(path: str) -> bool:
    """Whether a template may have this name, which Copier would render."""
    return not re.search(r"\{[{%#]|[\n\ud800-\udfff]", path)


# --- what is in the way of files ----------------------------------------------------------------

SPECIAL = {"120000": "a link", "160000": "a repository of its own"}
"""By git's mode."""


class BlockedError(CommandError):
    """Something else than an ordinary file or folder is where files would be written."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__(
            f"nothing was written, because {'; '.join(reasons.values())}. First replace what isn't "
            "an ordinary file or folder"
        )
        self.paths = list(reasons)


def require_free(project: Path, paths: Iterable[str]) -> None:
    """Refuse to write through links, which may lead out of the project, or in other repositories.

    Raises:
        BlockedError: with all that is in the way.
    """
    if not project.is_dir() or not any(project.iterdir()):
        return
    special: dict[str, str] = {}
    with suppress(CommandError):  # not under git
        for entry in filter(None, git(project, "ls-files", "--stage", "-z").split("\0")):
            info, _, name = entry.partition("\t")
            if info[:6] in SPECIAL:
                special[name] = SPECIAL[info[:6]]
    found: dict[str, str] = {}
    for path in paths:
        folders = [str(folder) for folder in PurePosixPath(path).parents if folder.name]
        for name in (*reversed(folders), path):
            kind = special.get(name) or _unlike_files(project / name, is_folder=name != path)
            if kind:
                found.setdefault(name, f"{name} is {kind}, where the template has {path}")
                break
    if found:
        raise BlockedError(found)


def _unlike_files(path: Path, *, is_folder: bool) -> str | None:
    """What is here instead of the file or folder that is expected, if anything."""
    if path.is_symlink():
        return "a link"
    if not is_folder:
        return "a folder" if path.is_dir() else None
    if path.is_dir():
        return "a repository of its own" if (path / ".git").exists() else None
    return "a file" if path.exists() else None


# --- locks and temporary files ------------------------------------------------------------------


@contextmanager
def locked(file: Path) -> Generator[bool]:
    """Whether this process got a lock. It ends with the process, however that ends."""
    with file.open("a") as opened:
        try:
            if fcntl:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass  # a file system without locks
        yield True


@contextmanager
def only_update(project: Path) -> Generator[None]:
    """Refuse to run while another update of the same repository does.

    Raises:
        CommandError: there is one.
    """
    with locked(own(project, "ml-architect-lock")) as is_alone:
        if not is_alone:
            raise CommandError(f"another update of {project} is running. Wait until it has ended")
        yield


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A folder that is removed afterwards, or by the next process if this one is killed.

    Copier's temporary folders are in it, too. It is removed repeatedly, since git's child processes
    may still write after a signal.
    """
    parent = tempfile.tempdir
    folder = Path(tempfile.mkdtemp(prefix="ml-architect-"))
    _remove_leftovers(folder)
    try:
        with locked(folder / "starting"):
            (folder / "starting").rename(folder / LOCK)
            tempfile.tempdir = str(folder)
            with local.env(TMPDIR=str(folder)):
                yield folder
    finally:
        tempfile.tempdir = parent
        for _ in range(50):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.02)


LOCK = "lock"
"""In a temporary folder that is in use, or whose process was killed."""


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary folders of this user's that no process has locked."""
    for lock in folder.parent.glob(f"ml-architect-*/{LOCK}"):
        with suppress(OSError):
            if fcntl and lock.lstat().st_uid == folder.stat().st_uid:
                with locked(lock) as is_left:
                    if is_left:
                        shutil.rmtree(lock.parent, ignore_errors=True)


def _mark(project: Path) -> Path:
    return own(project, "ml-architect-update")


def own(project: Path, name: str) -> Path:
    """A file of git's own for this work tree."""
    return project / git_line(project, "rev-parse", "--git-path", name)
