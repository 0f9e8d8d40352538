"""The git repository that a project lies in: whether it is safe to change, and the way back."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..errors import CommandError, Untrusted

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
"""A person's hooks are for their own commits and checkouts."""


def back(project: Path) -> str:
    """The command that undoes an update right after it; ignored files stay.

    It names the repository, unless that is where the person stands: elsewhere it would do harm.
    """
    place = "" if project.resolve() == Path.cwd() else f" -C {shlex.quote(str(project))}"
    return f"git{place} reset --hard && git{place} clean -d --force"


def git(folder: Path, *arguments: str, none: int = 0) -> str:
    """What a git command prints.

    Args:
        folder: where it runs.
        arguments: of git.
        none: the exit code by which it says that it found nothing.

    Raises:
        CommandError: it failed; with the last line of its complaint.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",  # names of files are bytes
        check=False,
    )
    if done.returncode not in {0, none}:
        said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        if "dubious ownership" in done.stderr:
            raise Untrusted(
                f"{folder} belongs to another user, and git refuses it. If you trust what is in "
                f"it: {said.strip()}"
            )
        raise CommandError(f"git {arguments[0]}: {said}")
    return done.stdout


def git_line(folder: Path, *arguments: str) -> str:
    """The one line that a git command prints; the name of a folder may end in a space."""
    return git(folder, *arguments).removesuffix("\n")


def require_clean(project: Path) -> None:
    """Refuse to write where git couldn't tell our changes from the owner's.

    Raises:
        CommandError: no repository, no commit, changes that aren't committed, or git at work.
    """
    try:
        status = git(project, "status", "--porcelain", "--untracked-files=all")
        git(project, "rev-parse", "--verify", "HEAD")
    except Untrusted:
        raise
    except CommandError:
        raise CommandError(
            f"{project} isn't under git, or nothing is committed, so that nothing could be undone. "
            "First: git init && git add --all && git commit"
        ) from None
    lock, mark = own(project, "index.lock"), _mark(project)
    if lock.exists():
        raise CommandError(
            f"git is at work in {project}, or was killed there. Where no git runs: rm {lock}"
        )
    lines = status.splitlines()
    if conflicts := [each[3:] for each in lines if is_conflict(each[:2])]:
        raise CommandError(
            f"{project} has conflicts. First resolve them: look for <<<<<<< in "
            f"{', '.join(conflicts)}, then git add and git commit; or git reset --hard"
        )
    if status and mark.exists():
        raise CommandError(
            f"{project} has changes that aren't committed, and an update was killed there. Look at "
            "them (git status); to put them all aside: git stash --include-untracked"
        )
    if status:
        raise CommandError(
            f"{project} has changes that aren't committed ({len(lines)} "
            f"{'file' if len(lines) == 1 else 'files'}), and they would mix with what is written "
            "now. First: git commit, or git stash"
        )
    if hidden := _hidden(project):
        raise CommandError(
            f"git was told not to look at {hidden[0]} (skip-worktree, assume-unchanged), so that a "
            f"change there would be lost. First: git update-index --no-skip-worktree "
            f"--no-assume-unchanged {shlex.quote(hidden[0])}"
        )
    if rejects := git(project, "ls-files", "--others", "-z", "--", "*.rej").split("\0")[0]:
        raise CommandError(
            f"{rejects} is a left-over of a patch, and Copier would take it for its own. First: "
            f"look at it and remove it"
        )
    mark.unlink(missing_ok=True)


def is_conflict(code: str) -> bool:
    """Whether git's short status says that a merge of this file is open."""
    return "U" in code or code in {"AA", "DD"}


def committed_conflicts(project: Path) -> list[str]:
    """Files that were committed with the marks of an update's conflict in them."""
    marks = ("-e", "^<<<<<<< before updating", "-e", "^>>>>>>> after updating")
    return list(filter(None, git(project, "grep", "-lz", *marks, none=1).split("\0")))


def _hidden(project: Path) -> list[str]:
    """Files that are there and that git was told to take for unchanged."""
    listed = git(project, "ls-files", "-v", "-z").split("\0")
    tagged = [(each[0], each[2:]) for each in listed if each]
    return [
        name for tag, name in tagged if (tag == "S" or tag.islower()) and (project / name).exists()
    ]


@contextmanager
def whole_or_nothing(project: Path, changed: list[str], new: list[str]) -> Generator[None]:
    """Take it back if what is done to these files ends early, by Ctrl-C too; no others are touched.

    After a SIGKILL a mark stays in `.git`, by which `require_clean` knows what happened.
    """
    mark = _mark(project)
    mark.touch()
    try:
        yield
    except BaseException:
        git(project, "reset", "--quiet")
        if changed:
            git(project, *NO_HOOKS, "checkout", "--quiet", "HEAD", "--", *changed)
        for name in [*new, *(f"{each}.rej" for each in changed)]:
            (project / name).unlink(missing_ok=True)
        mark.unlink()
        raise
    mark.unlink()


def ignored(project: Path) -> list[str]:
    """What git ignores, as patterns for Copier, which would write over such files."""
    listed = git(
        project, "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"
    )
    return [
        "/" + re.sub(r"([\\*?\[\] ])", r"\\\1", path)
        for path in filter(None, listed.split("\0"))
        if not re.search(r"\{[{%#]|[\n\ud800-\udfff]", path)  # no name that a template has
    ]


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A folder that is removed afterwards.

    A signal that ends a clone may leave git's own child processes writing for a moment, so that
    removing the folder once isn't always enough.
    """
    folder = Path(tempfile.mkdtemp(prefix="ml-architect-"))
    try:
        yield folder
    finally:
        for _ in range(50):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.02)


def _mark(project: Path) -> Path:
    return own(project, "ml-architect-update")


def own(project: Path, name: str) -> Path:
    """A file of git's own, wherever it keeps them for this work tree."""
    return project / git_line(project, "rev-parse", "--git-path", name)
