"""Keeps answers and the owner's changes that an update alone would lose. Copier runs it.

    python migrations before|after TEMPLATE

It runs in the project before the new version is rendered, and again after the merge. Copier's merge
identifies files by their paths. It loses the owner's changes to a file that the template deletes or
moves, doesn't know earlier names of a question, and never adds a file of the owner's, not even one
that a later version introduces. What to do depends on the state of the project, not on version
numbers, so it can be repeated: a second run changes nothing. It prints one line per action.

See https://copier.readthedocs.io/en/stable/configuring/#migrations.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from history import HISTORY, LeftOutFile, MovedFile, RemovedOption, RenamedQuestion

ANSWERS = ".copier-answers.yml"
OWNERS = re.compile(r"_copier_operation == 'update' %}/(\S+?)\{% endif %}")
"""How `copier.yml` excludes the owner's files from updates."""

GIT = ("git", "-c", f"core.hooksPath={os.devnull}")
"""Without the owner's hooks, which may fail. Copier doesn't run them, either."""

FIRST = "0.6.0"
"""The first version whose projects can be updated. Also in generate/template.py of the tool."""

MAX_CONFLICTS = 127
"""`git merge-file` exits with the number of conflicts; higher codes are errors."""

Answers = dict[str, Any]


def main(stage: str, template: str) -> None:
    """Run one of the two stages."""
    if stage == "before":
        require_updatable(Path(template))
        migrate_answers()
    else:
        after(Path(template))


# --- versions -----------------------------------------------------------------------------------


def require_updatable(template: Path) -> None:
    """Exit if the project is older than the first version that can be updated."""
    from packaging.version import Version

    version = version_at(template, os.environ.get("VERSION_FROM", ""))
    if version is not None and Version(version) < Version(f"{FIRST}.dev0"):
        print(
            f"this project was made with {version}, and updates begin with {FIRST}. Make a new "
            "project and move configs/ and your code into it: settings.py, data/source.py, "
            "features/transforms.py, models/network.py, eval/metrics.py",
            file=sys.stderr,
        )
        sys.exit(2)


def version_at(template: Path, commit: str) -> str | None:
    """The template's version at a commit, or None if its history lacks the commit.

    That is the case for a project that was made from a folder with uncommitted changes.
    """
    done = run("-C", str(template), "show", f"{commit}:pyproject.toml")
    if done.returncode != 0:
        return None
    return str(tomllib.loads(done.stdout.decode())["project"]["version"])


# --- answers ------------------------------------------------------------------------------------


def migrate_answers() -> None:
    """Rewrite recorded answers for the current questions and options."""
    renames = [entry for entry in HISTORY if isinstance(entry, RenamedQuestion)]
    removals = [entry for entry in HISTORY if isinstance(entry, RemovedOption)]
    if not renames and not removals:
        return
    answers = load(Path(ANSWERS).read_text(encoding="utf-8"))
    before = dict(answers)
    for rename in renames:
        if rename.old in answers:
            value = answers.pop(rename.old)
            answers.setdefault(rename.new, value)
            print(
                f"{rename.old} was renamed to {rename.new} in {rename.since}; your answer stays: "
                f"{value}"
            )
    for removal in removals:
        if answers.get(removal.question) == removal.option:
            answers[removal.question] = removal.instead
            print(
                f"{removal.question} = {removal.option} was removed in {removal.since} and is "
                f"replaced by {removal.instead}: {removal.why}"
            )
    if answers != before:
        import yaml

        text = yaml.safe_dump(answers, allow_unicode=True, sort_keys=False)
        Path(ANSWERS).write_text(text, encoding="utf-8")


def load(text: str) -> Answers:
    """Parse recorded answers."""
    import yaml

    return yaml.safe_load(text)


# --- files --------------------------------------------------------------------------------------


def after(template: Path) -> None:
    """Restore the owner's changes that were lost, and create new files of the owner's."""
    before = load(show("HEAD", ANSWERS).decode())
    now = load(Path(ANSWERS).read_text(encoding="utf-8"))
    if before == now:
        return
    moves = {
        entry.old.format_map(now): entry.new.format_map(now)
        for entry in HISTORY
        if isinstance(entry, MovedFile)
    }
    deleted = differing("D")
    not_text = [path for path in differing("M") if not is_text(show("HEAD", path))]
    arrived = [path for path in moves.values() if Path(path).is_file() and not is_committed(path)]
    left_out = [
        path
        for entry in HISTORY
        if isinstance(entry, LeftOutFile) and now.get(entry.question) == entry.answer
        if is_committed(path := entry.path.format_map(now)) and Path(path).is_file()
    ]
    has_new_files = may_add_owners_files(template, before, now)
    needs_new = has_new_files or not_text or now.get("yours")
    if not (deleted or arrived or left_out or needs_new):
        return
    with rendered(before) as old:
        for path in left_out:
            if (old / path).is_file():  # from the template, not from the owner
                Path(path).unlink()
                deleted.append(path)
        for path in arrived:
            remove_unwanted(path, old, moves, now)
        for path in deleted:
            keep(path, old, moves, now)
        if needs_new:
            with rendered(now) as new:
                merge_bytes(not_text, old, new)
                if has_new_files:
                    create_owners_files(template, old, new, moves, now)
                report_skipped_changes(now.get("yours", ()), old, new)


def keep(path: str, old: Path, moves: Mapping[str, str], now: Answers) -> None:
    """Keep the owner's changes to a file that the template has deleted or moved."""
    if is_taken_over(path, now):
        git("checkout", "--quiet", "HEAD", "--", path)
        return
    mine, base = show("HEAD", path), read(old / path)
    was_executable = base is not None and bool((old / path).stat().st_mode & 0o100)
    mode_changed = base is not None and is_executable(path) != was_executable
    if mine == base and not mode_changed:
        return  # the owner hasn't changed it
    new = path
    while new in moves:  # it may have been moved repeatedly
        new = moves[new]
    if new == path or not Path(new).is_file():
        git("checkout", "--quiet", "HEAD", "--", path)
        print(f"kept {path}: the template has removed it, but you had changed it")
    elif is_committed(new):
        git("checkout", "--quiet", "HEAD", "--", path)
        print(f"kept {path}: the template moved it to {new}, where you have your own file")
    else:
        if mode_changed:
            mode = Path(new).stat().st_mode
            Path(new).chmod(mode | 0o111 if is_executable(path) else mode & ~0o111)
        message = f"{path} was moved to {new}, with your changes"
        if not merge(new, mine, base or b"", Path(new).read_bytes(), message):
            git("checkout", "--quiet", "HEAD", "--", path)
            print(f"kept {path}: the template moved it to {new}, but binary files can't be merged")


def merge_bytes(paths: list[str], old: Path, new: Path) -> None:
    """Merge files again that aren't UTF-8: Copier merges text, and drops other bytes."""
    for path in paths:
        theirs = read(new / path)
        if theirs is None:
            continue  # not a file of the template's
        message = f"{path} isn't UTF-8, and was merged byte by byte"
        if not merge(path, show("HEAD", path), read(old / path) or b"", theirs, message):
            git("checkout", "--quiet", "HEAD", "--", path)
            print(f"kept your version of {path}: binary files can't be merged")


def merge(path: str, mine: bytes, base: bytes, theirs: bytes, message: str) -> bool:
    """Merge three files into one, and record a conflict in the index, so that git lists it.

    Returns:
        Whether git could merge them: it can't if there is a zero byte.
    """
    if git("ls-files", "--unmerged", "--", path):
        return True  # already merged, by us or by Copier, which merges if a patch doesn't apply
    target = Path(path)
    with tempfile.TemporaryDirectory(prefix="ml-architect-") as folder:
        sides = [Path(folder) / name for name in ("mine", "base", "theirs")]
        for side, content in zip(sides, (mine, base, theirs), strict=True):
            side.write_bytes(content)
        labels = ("before updating", "last update", "after updating")  # the same as Copier's
        options = [word for label in labels for word in ("-L", label)]
        done = run("merge-file", "-p", *options, "--", *map(str, sides))
        if done.returncode > MAX_CONFLICTS:
            return False
        if done.stdout == target.read_bytes():
            return True
        target.write_bytes(done.stdout)
        print(message)
        if done.returncode == 0:
            return True
        print(f"{path}: you and the template changed the same lines; look for <<<<<<<")
        ours, common, other = (
            line("hash-object", "-w", "--no-filters", "--", str(side)) for side in sides
        )
    index_path = line("rev-parse", "--show-prefix") + path  # relative to the repository's root
    mode = "100755" if target.stat().st_mode & 0o100 else "100644"
    stages = [
        f"{mode} {blob} {n}\t{index_path}" for blob, n in ((common, 1), (ours, 2), (other, 3))
    ]
    git("update-index", "--index-info", stdin="\n".join([f"0 {'0' * 40}\t{index_path}", *stages]))
    return True


def remove_unwanted(path: str, old: Path, moves: Mapping[str, str], now: Answers) -> None:
    """Remove a moved file that the owner had deleted, or taken over, under its old name."""
    if origin := unwanted(path, old, moves, now):
        Path(path).unlink()
        reason = "is yours and stays" if is_committed(origin) else "was deleted by you"
        print(f"{origin} {reason}; the template moved it to {path}, which wasn't added")


def unwanted(path: str, old: Path, moves: Mapping[str, str], now: Answers) -> str | None:
    """The earlier path at which the owner deleted a file or took it over, or None."""
    origins = {new: old for old, new in moves.items()}
    while path in origins:
        path = origins[path]
        if (old / path).is_file():
            return path if is_taken_over(path, now) or not is_committed(path) else None
    return None


def report_skipped_changes(yours: list[str], old: Path, new: Path) -> None:
    """Report the template's changes to files that the owner has taken over."""
    paths = {
        path.relative_to(folder).as_posix()
        for folder in (old, new)
        for path in folder.rglob("*")
        if path.is_file()
    }
    for entry in yours:
        matching = sorted(path for path in paths if is_taken_over(path, {"yours": [entry]}))
        if not matching:
            print(f"yours: the template has no {entry}; fix the path, or remove it from the list")
        for path in matching:
            before, after = read(old / path) or b"", read(new / path) or b""
            if before != after:
                blobs = " ".join(
                    run("hash-object", "-w", "--stdin", stdin=side).stdout.decode()[:12]
                    for side in (before, after)
                )
                print(f"yours, not updated: {path}; what the template changed: git diff {blobs}")


def is_taken_over(path: str, answers: Answers) -> bool:
    """Whether the answer `yours` contains the file or a folder above it."""
    return any(path == own or path.startswith(f"{own}/") for own in answers.get("yours", ()))


def may_add_owners_files(template: Path, before: Answers, now: Answers) -> bool:
    """Whether a new version, or new answers, may add a file of the owner's.

    Finding out means rendering two projects, so this checks the template's history first.
    """
    if {**plain(before), "yours": ()} != {**plain(now), "yours": ()}:  # `yours` adds no file
        return True
    versions = [os.environ.get(f"VERSION_{name}", "") for name in ("FROM", "TO")]
    done = run(
        "-C",
        str(template),
        "diff",
        "--no-renames",
        "--diff-filter=A",
        "--name-only",
        "-z",
        *versions,
    )
    added = [path for path in done.stdout.decode().split("\0") if path]
    rendered_paths = [path.removeprefix("template/").removesuffix(".jinja") for path in added]
    return done.returncode != 0 or any(is_owners(path, template) for path in rendered_paths)


def create_owners_files(
    template: Path, old: Path, new: Path, moves: Mapping[str, str], now: Answers
) -> None:
    """Write owner's files that the old version didn't have; the owner has deleted all others."""
    for source in sorted(path for path in new.rglob("*") if path.is_file()):
        path = source.relative_to(new)
        if not is_owners(path.as_posix(), template) or (old / path).exists():
            continue
        folders = [folder for folder in reversed(path.parents) if folder.name]
        blocked = [folder for folder in folders if is_foreign(folder) or folder.is_file()]
        if is_foreign(path):
            blocked.append(path)
        if blocked:
            reason = f"{blocked[0].as_posix()} is a link, a file or another repository"
            print(f"not created: {path.as_posix()}, since {reason}")
            continue
        if path.exists() or unwanted(path.as_posix(), old, moves, now):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)  # and its mode
        print(f"created {path.as_posix()}: yours from now on")


def is_foreign(path: Path) -> bool:
    """Whether a file that is written here, or below it, would be outside of the project."""
    mode = git("ls-files", "--stage", "--", path.as_posix())[:6]  # a link may be a file on the disk
    return mode in {"120000", "160000"} or path.is_symlink() or (path / ".git").exists()


def is_owners(path: str, template: Path) -> bool:
    """Whether `copier.yml` excludes a file from updates, as one of the owner's."""
    patterns = OWNERS.findall((template / "copier.yml").read_text(encoding="utf-8"))
    assert patterns, "OWNERS doesn't match how copier.yml excludes the owner's files"
    return any(
        fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/") for pattern in patterns
    )


def plain(answers: Mapping[str, Any]) -> Answers:
    """Answers without Copier's own entries about the template."""
    return {name: value for name, value in answers.items() if not name.startswith("_")}


@contextmanager
def rendered(answers: Answers) -> Generator[Path]:
    """The project of these answers, without the owner's changes, in a temporary folder."""
    import copier

    with tempfile.TemporaryDirectory(prefix="ml-architect-") as folder:
        project = Path(folder) / Path.cwd().name
        copier.run_copy(
            answers["_src_path"],
            project,
            data=plain(answers),
            vcs_ref=answers["_commit"],
            defaults=True,
            quiet=True,
            unsafe=True,  # the user trusts this address, otherwise Copier wouldn't run migrations
            settings=copier.Settings(),
        )
        yield project


# --- git ----------------------------------------------------------------------------------------


def run(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a git command in the project."""
    return subprocess.run([*GIT, *arguments], input=stdin, capture_output=True, check=False)


def git(*arguments: str, stdin: str | None = None) -> str:
    """Run a git command and return its output. Exits if it fails, so that Copier stops."""
    done = run(*arguments, stdin=None if stdin is None else stdin.encode())
    if done.returncode != 0:
        sys.exit(f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def line(*arguments: str) -> str:
    """Run a git command that prints one line; a name may end in a space."""
    return git(*arguments).removesuffix("\n")


def listed(*arguments: str) -> list[str]:
    """Run a git command that prints paths."""
    return [path for path in git(*arguments, "-z").split("\0") if path]


def differing(kind: str) -> list[str]:
    """The committed paths that the update has deleted (D) or modified (M)."""
    options = (f"--diff-filter={kind}", "--no-renames", "--ignore-submodules", "--relative")
    return listed("diff", *options, "--name-only", "HEAD")


def show(commit: str, path: str) -> bytes:
    """The content of a committed file. Exits if there is none."""
    done = run("show", f"{commit}:./{path}")
    if done.returncode != 0:
        sys.exit(f"git show {commit}:{path}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def is_committed(path: str) -> bool:
    """Whether the owner's last commit contains a file."""
    return run("cat-file", "-e", f"HEAD:./{path}").returncode == 0


def is_executable(path: str) -> bool:
    """Whether a file is executable in the owner's last commit."""
    return git("ls-tree", "HEAD", "--", path).startswith("100755")


def is_text(content: bytes) -> bool:
    """Whether Copier's merge, which decodes, and git's patches preserve every byte."""
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def read(file: Path) -> bytes | None:
    """The content of a file, or None."""
    return file.read_bytes() if file.is_file() else None


if __name__ == "__main__":
    main(*sys.argv[1:])
