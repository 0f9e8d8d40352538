"""The git repository that a project lies in: whether it is safe to change, and the way back."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .errors import CommandError

BACK = "git reset --hard && git clean -d --force"
"""Undoes an update in a tree in which everything was committed before; ignored files stay."""


def git(folder: Path, *arguments: str) -> str:
    """What a git command prints.

    Raises:
        CommandError: it failed; with the last line of its complaint.
    """
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise CommandError(f"git {arguments[0]}: {said}")
    return done.stdout


def require_clean(project: Path) -> None:
    """Refuse to write where git couldn't tell our changes from the owner's.

    Raises:
        CommandError: no repository, no commit, changes that aren't committed, or git at work.
    """
    try:
        status = git(project, "status", "--porcelain", "--untracked-files=all")
        git(project, "rev-parse", "--verify", "HEAD")
    except CommandError:
        raise CommandError(
            f"{project} isn't under git, or nothing is committed, so that nothing could be undone. "
            "First: git init && git add --all && git commit"
        ) from None
    lock, mark = _own(project, "index.lock"), _mark(project)
    if lock.exists():
        raise CommandError(
            f"git is at work in {project}, or was killed there. Where no git runs: rm {lock}"
        )
    if status and mark.exists():
        raise CommandError(
            f"{project} has half an update in it, which was killed. First, to go back: {BACK}"
        )
    if status:
        raise CommandError(
            f"{project} has changes that aren't committed ({len(status.splitlines())} files), and "
            "they would mix with what is written now. First: git commit, or git stash"
        )
    mark.unlink(missing_ok=True)


@contextmanager
def whole_or_nothing(project: Path) -> Generator[None]:
    """Take everything back if what is done to a clean project ends early, by Ctrl-C too.

    After a SIGKILL a mark stays in `.git`, by which `require_clean` knows what happened.
    """
    mark = _mark(project)
    mark.touch()
    try:
        yield
    except BaseException:
        git(project, "reset", "--quiet", "--hard")
        git(project, "clean", "--quiet", "-d", "--force")
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
        if not re.search(r"\{[{%#]|\n", path)  # Copier would render it, and makes no such name
    ]


def _mark(project: Path) -> Path:
    return _own(project, "ml-architect-update")


def _own(project: Path, name: str) -> Path:
    """A file of git's own, wherever it keeps them for this work tree."""
    return project / git(project, "rev-parse", "--git-path", name).strip()
