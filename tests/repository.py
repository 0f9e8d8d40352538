"""The template as a git repository of several versions, as `copier update` meets it."""

from __future__ import annotations

import os
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import copier
from rendering import ROOT, copy_template

NEWEST = "9999.0.0"
"""The version that the working tree gets: higher than any that was released."""

UNRELEASED = "0.0.0"
"""The version that the last commit gets while nothing is released."""

NOBODY = {  # a fresh machine has no name for commits; Copier makes some too
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "Nobody"), ("EMAIL", "nobody@localhost"))
}


@dataclass(frozen=True)
class Release:
    """A published version of the template."""

    version: str
    commit: str


def releases() -> list[Release]:
    """What `releases.toml` lists, oldest first."""
    listed = tomllib.loads((ROOT / "releases.toml").read_text(encoding="utf-8"))
    return [Release(**each) for each in listed.get("release", [])]


def git(folder: Path, *arguments: str) -> str:
    """What a git command prints. Raises AssertionError with its complaint where it fails."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **NOBODY},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def has_commit(folder: Path, commit: str) -> bool:
    """Whether the history that lies here reaches back to a commit."""
    found = subprocess.run(["git", "merge-base", "--is-ancestor", commit, "HEAD"], cwd=folder)
    return found.returncode == 0


def commit(folder: Path, message: str = "state", tag: str | None = None) -> None:
    """Commit whatever lies in a folder, and tag it; the folder becomes a repository if need be."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--no-verify", "--message", message)
    if tag:
        git(folder, "tag", tag)


def with_releases(folder: Path) -> Path:
    """A clone in which each release is tagged, and the working tree is the newest version."""
    git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder))
    for release in releases() or [Release(UNRELEASED, git(ROOT, "rev-parse", "HEAD").strip())]:
        assert has_commit(folder, release.commit), (
            f"the commit of release {release.version} isn't here; is the history cut off? "
            "Fetch it: git fetch --unshallow"
        )
        git(folder, "tag", "--force", f"v{release.version}", release.commit)
    git(folder, "rm", "-r", "--quiet", ".")
    commit(copy_template(folder), "The working tree", f"v{NEWEST}")
    return folder


def copy(template: Path, project: Path, version: str, **answers: str) -> Path:
    """Make a project of one version of the template, and commit it."""
    copier.run_copy(
        str(template),
        project,
        data=answers,
        vcs_ref=f"v{version}",
        defaults=True,
        quiet=True,
        unsafe=True,
        settings=copier.Settings(),
    )
    commit(project, "Start")
    return project


def update(project: Path, version: str, **answers: str) -> None:
    """Bring a project to a version of the template, with some questions answered anew."""
    copier.run_update(
        project,
        data=answers,
        vcs_ref=f"v{version}",
        defaults=True,
        overwrite=True,
        quiet=True,
        unsafe=True,
        settings=copier.Settings(),
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a project by its path, git's own aside."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
