"""The template as a git repository with several versions, as `copier update` reads it."""

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
"""The version of the working tree: higher than any release."""

EARLIER = "0.6.0.dev0"
"""The version of a variant of the working tree, which simulates an earlier version.

It differs from the working tree in a known way, so that an update to NEWEST always changes
something. It is the lowest version that can be updated.
"""

MARK = "The template's: updates improve this file"
"""In the first line of most of the template's files; in EARLIER the line is different."""

ADDED = "tests/test_resume.py"
"""A file that EARLIER lacks."""

CHANGELOG = f"""\
## {NEWEST} — 9999-01-01

The summary of the working tree.

The details of the working tree.

For a project made with {EARLIER}: nothing to do.

"""

NOBODY = {  # a fresh machine has no git user, and Copier commits too
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
    """The releases in `releases.toml`, oldest first."""
    table = tomllib.loads((ROOT / "releases.toml").read_text(encoding="utf-8"))
    return [Release(**entry) for entry in table.get("release", [])]


def updated_from() -> list[Release]:
    """The versions from which updates are tested: every release, or EARLIER before the first."""
    return releases() or [Release(EARLIER, commit="")]


def git(folder: Path, *arguments: str) -> str:
    """Run a git command and return its output. Raises AssertionError if it fails."""
    result = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **NOBODY},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f"git {' '.join(arguments)}: {result.stderr}"
    return result.stdout


def has_commit(folder: Path, commit: str) -> bool:
    """Whether the history contains a commit."""
    result = subprocess.run(["git", "merge-base", "--is-ancestor", commit, "HEAD"], cwd=folder)
    return result.returncode == 0


def commit(folder: Path, message: str = "state", tag: str | None = None) -> None:
    """Commit everything in a folder, and tag it. Makes it a repository if it isn't one."""
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
            make_earlier(folder)
        else:
            substitute(folder / "CHANGELOG.md", r"^(?=## )", CHANGELOG)
        commit(folder, version, f"v{version}")
    return folder


def tag_commit(folder: Path, version: str, commit: str) -> None:
    """Tag a commit of this repository as a version, in a clone of it."""
    assert has_commit(folder, commit), (
        f"the commit of release {version} isn't here; if this is a shallow clone: "
        "git fetch --unshallow"
    )
    git(folder, "tag", "--force", f"v{version}", commit)


def make_earlier(folder: Path) -> None:
    """Turn the working tree into EARLIER: other first lines in most files, and one file fewer."""
    files = [path for name in ("template", "choices") for path in (folder / name).rglob("*.*")]
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.is_file()}
    marked = {path: text for path, text in texts.items() if MARK in text}
    assert len(marked) > 20, f"few files of the template contain {MARK!r}"
    for path, text in marked.items():
        path.write_text(text.replace(MARK, f"Of {EARLIER}: {MARK}"), encoding="utf-8")
    (added,) = (folder / "template").glob(f"{ADDED}*")
    added.unlink()


def substitute(file: Path, pattern: str, text: str) -> None:
    """Replace the first match of a pattern in a file."""
    old = file.read_text(encoding="utf-8")
    new, count = re.subn(pattern, lambda _: text, old, count=1, flags=re.MULTILINE)
    assert count, f"{file} has no {pattern}"
    file.write_text(new, encoding="utf-8")


def copy(template: Path, project: Path, version: str, **answers: str) -> Path:
    """Make a project of one version of the template, and commit it.

    Rendering takes a second, so each worker renders the same project only once. A tag of a template
    must therefore not be moved after its first use.
    """
    source = render_once(str(template), version, project.name, tuple(sorted(answers.items())))
    return shutil.copytree(source, project, symlinks=True)


@functools.cache
def render_once(
    template: str, version: str, name: str, answers: tuple[tuple[str, str], ...]
) -> Path:
    """Make a project that is then copied. Its default name is that of its folder."""
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
    """A folder for rendered projects, deleted when this process ends."""
    return tempfile.TemporaryDirectory(prefix="ml-architect-tests-")


def update(project: Path, version: str, **answers: str) -> None:
    """Update a project to a version of the template, with new answers to some questions."""
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
    """The content of each file of a project, by path, without git's own."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
