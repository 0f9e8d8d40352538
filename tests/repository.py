"""The template as a git repository of several versions, as `copier update` meets it."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import copier
from rendering import ROOT, copy_template

NEWEST = "9999.0.0"
"""The version that the working tree gets: higher than any that was released."""

EARLIER = "0.6.0.dev0"
"""The version of a stand-in for an earlier state of the working tree.

It differs in a known way from whatever the working tree is at the moment, so that an update to
NEWEST always has something to change. It is the lowest version that can be updated at all.
"""

MARK = "The template's: updates improve this file"
"""What the first line of most of the template's files says; EARLIER has another line there."""

ADDED = "tests/test_resume.py"
"""A file of the template's that EARLIER lacks."""

CHANGELOG = f"""\
## {NEWEST} — 9999-01-01

What the working tree brings.

What only the whole changelog says.

For a project made with {EARLIER}: nothing to do.

"""

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


def updated_from() -> list[Release]:
    """What updates are tested from: every release, or EARLIER while nothing is released."""
    return releases() or [Release(EARLIER, commit="")]


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
    """A clone with a tag for each release, for EARLIER, and for the working tree as NEWEST."""
    git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder))
    for release in releases():
        tag_commit(folder, release.version, release.commit)
    for version in (EARLIER, NEWEST):
        git(folder, "rm", "-r", "--quiet", ".")
        copy_template(folder)
        substitute(folder / "pyproject.toml", r'^version = ".*"', f'version = "{version}"')
        if version == EARLIER:
            go_back(folder)
        else:
            substitute(folder / "CHANGELOG.md", r"^(?=## )", CHANGELOG)
        commit(folder, version, f"v{version}")
    return folder


def tag_commit(folder: Path, version: str, commit: str) -> None:
    """Tag a commit of this repository's history as a version, in a clone of it."""
    assert has_commit(folder, commit), (
        f"the commit of release {version} isn't here; is the history cut off? "
        "Fetch it: git fetch --unshallow"
    )
    git(folder, "tag", "--force", f"v{version}", commit)


def go_back(folder: Path) -> None:
    """Turn the working tree into EARLIER: another first line in most files, and one file less."""
    files = [path for name in ("template", "choices") for path in (folder / name).rglob("*.*")]
    found = {path: path.read_text(encoding="utf-8") for path in files if path.is_file()}
    marked = {path: text for path, text in found.items() if MARK in text}
    assert len(marked) > 20, f"few files of the template say {MARK!r}"
    for path, text in marked.items():
        path.write_text(text.replace(MARK, f"Of {EARLIER}: {MARK}"), encoding="utf-8")
    (added,) = (folder / "template").glob(f"{ADDED}*")
    added.unlink()


def substitute(file: Path, pattern: str, text: str) -> None:
    """Replace the first place of a file that fits a pattern."""
    old = file.read_text(encoding="utf-8")
    new, count = re.subn(pattern, lambda _: text, old, count=1, flags=re.MULTILINE)
    assert count, f"{file} has no {pattern}"
    file.write_text(new, encoding="utf-8")


def copy(template: Path, project: Path, version: str, **answers: str) -> Path:
    """Make a project of one version of the template, and commit it.

    Rendering takes a second, so each worker renders the same project only once. A tag of a template
    must therefore not be moved after its first use.
    """
    made = render_once(str(template), version, project.name, tuple(sorted(answers.items())))
    return shutil.copytree(made, project, symlinks=True)


@functools.cache
def render_once(
    template: str, version: str, name: str, answers: tuple[tuple[str, str], ...]
) -> Path:
    """A project to be copied; the name of its folder is the default for the project's."""
    project = Path(tempfile.mkdtemp(dir=projects().name)) / name
    copier.run_copy(
        template,
        project,
        data=dict(answers),
        vcs_ref=f"v{version}",
        defaults=True,
        quiet=True,
        unsafe=True,
        settings=copier.Settings(),
    )
    commit(project, "Start")
    return project


@functools.cache
def projects() -> tempfile.TemporaryDirectory[str]:
    """Where rendered projects are kept until this process ends."""
    return tempfile.TemporaryDirectory(prefix="ml-architect-tests-")


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
