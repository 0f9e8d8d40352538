"""Carries a living project over what an update alone would lose; Copier runs it, twice an update.

    python migrations before|after TEMPLATE

It runs in the project: before the new version is rendered, and after it has been merged. Copier's
merge knows files by their paths. It drops what the owner wrote into a file that the template
deletes or moves, doesn't know a question by an earlier name, and leaves out what is the owner's,
also where a later version brings such a file for the first time. What to do is found in the state
of the project, never in the number of a version, so that it can be repeated: a second run finds
nothing to do. Whatever it does it says, a line each, on standard output.

See https://copier.readthedocs.io/en/stable/configuring/#migrations.
"""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from history import HISTORY, MovedFile, RemovedOption, RenamedQuestion

ANSWERS = ".copier-answers.yml"
OWNERS = re.compile(r"_copier_operation == 'update' %}/(\S+?)\{% endif %}")
"""How `copier.yml` leaves out of an update what is the owner's."""

GIT = ("git", "-c", f"core.hooksPath={os.devnull}")
"""A hook of the owner's that fails would stop us half-way; Copier leaves them out as well."""

Answers = dict[str, Any]


def main(stage: str, template: str) -> None:
    """Run one of the two stages."""
    if stage == "before":
        migrate_answers()
    else:
        after(Path(template))


# --- answers ------------------------------------------------------------------------------------


def migrate_answers() -> None:
    """Let recorded answers speak of today's questions and options."""
    renames = [each for each in HISTORY if isinstance(each, RenamedQuestion)]
    changes = [*renames, *(each for each in HISTORY if isinstance(each, RemovedOption))]
    if not changes:
        return
    answers = load(Path(ANSWERS).read_text(encoding="utf-8"))
    before = dict(answers)
    for each in changes:
        if isinstance(each, RenamedQuestion) and each.old in answers:
            value = answers.pop(each.old)
            answers.setdefault(each.new, value)
            print(f"{each.old} is called {each.new} since {each.since}; your answer stays: {value}")
        elif isinstance(each, RemovedOption) and answers.get(each.question) == each.option:
            answers[each.question] = each.instead
            print(
                f"{each.question} = {each.option} is gone since {each.since}, and "
                f"{each.instead} takes its place: {each.why}"
            )
    if answers != before:
        import yaml

        text = yaml.safe_dump(answers, allow_unicode=True, sort_keys=False)
        Path(ANSWERS).write_text(text, encoding="utf-8")


def load(text: str) -> Answers:
    """Recorded answers."""
    import yaml

    return yaml.safe_load(text)


# --- files --------------------------------------------------------------------------------------


def after(template: Path) -> None:
    """Keep what the owner wrote into files that went, and bring files that are new and theirs."""
    gone = listed("diff", "--relative", "--no-renames", "--diff-filter=D", "--name-only", "HEAD")
    then = load(show("HEAD", ANSWERS).decode())
    now = load(Path(ANSWERS).read_text(encoding="utf-8"))
    brings = brings_owners_files(template, then, now)
    if not gone and not brings:
        return
    with rendered(then) as old:
        moves = {
            each.old.format_map(now): each.new.format_map(now)
            for each in HISTORY
            if isinstance(each, MovedFile)
        }
        for path in gone:
            if is_taken_over(path, now):
                git("checkout", "--quiet", "HEAD", "--", path)
                continue
            mine, base = show("HEAD", path), read(old / path)
            if mine == base:
                continue  # nothing of the owner's is in it
            new_path = path
            while new_path in moves:  # it may have moved more than once
                new_path = moves[new_path]
            if new_path != path and Path(new_path).is_file():
                move(path, new_path, mine, base or b"")
            else:
                git("checkout", "--quiet", "HEAD", "--", path)
                print(f"kept {path}: the template has it no more, and you had changed it")
        if brings:
            with rendered(now) as new:
                create_owners_files(template, old, new)


def move(old: str, new: str, mine: bytes, base: bytes) -> None:
    """Merge what the owner wrote into the file of the old name into that of the new one."""
    if show("HEAD", new, missing=b""):
        git("checkout", "--quiet", "HEAD", "--", old)
        print(f"kept {old}: it is called {new} now, where you have a file of your own")
        return
    if git("ls-files", "--unmerged", "--", new):
        return  # we have been here
    target = Path(new)
    theirs = target.read_bytes()
    with tempfile.TemporaryDirectory(prefix="ml-architect-") as folder:
        sides = [Path(folder) / name for name in ("mine", "base", "theirs")]
        for side, content in zip(sides, (mine, base, theirs), strict=True):
            side.write_bytes(content)
        labels = ("before updating", "last update", "after updating")  # as Copier has them
        named = [word for label in labels for word in ("-L", label)]
        done = run("merge-file", "-p", *named, "--", *map(str, sides))
        if done.stdout == theirs:
            return
        target.write_bytes(done.stdout)
        print(f"{old} is called {new} now; what you wrote into it went along")
        if done.returncode == 0:
            return
        print(f"{new}: you and the template changed the same lines; look for <<<<<<<")
        ours, common, other = (git("hash-object", "-w", "--", str(side)).strip() for side in sides)
    place = git("rev-parse", "--show-prefix").strip() + new  # the index counts from its root
    stages = [f"100644 {blob} {n}\t{place}" for blob, n in ((common, 1), (ours, 2), (other, 3))]
    git("update-index", "--index-info", given="\n".join([f"0 {'0' * 40}\t{place}", *stages]))


def is_taken_over(path: str, answers: Answers) -> bool:
    """Whether the owner has named the file as one more of theirs."""
    return any(path == each or path.startswith(f"{each}/") for each in answers.get("yours", ()))


def brings_owners_files(template: Path, then: Answers, now: Answers) -> bool:
    """Whether a new version, or other answers, can bring a file of the owner's that wasn't there.

    Two projects have to be rendered to see which; this asks the template's history first.
    """
    if {**plain(then), "yours": ()} != {**plain(now), "yours": ()}:  # that brings nothing
        return True
    versions = [os.environ.get(f"VERSION_{each}", "") for each in ("FROM", "TO")]
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
    inside = [path.removeprefix("template/").removesuffix(".jinja") for path in added]
    return done.returncode != 0 or any(is_owners(path, template) for path in inside)


def create_owners_files(template: Path, old: Path, new: Path) -> None:
    """Write the owner's files that the old version hadn't; one that was there was deleted since."""
    for source in sorted(path for path in new.rglob("*") if path.is_file()):
        path = source.relative_to(new)
        if not is_owners(path.as_posix(), template) or (old / path).exists() or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read_bytes())
        print(f"created {path.as_posix()}: yours from now on")


def is_owners(path: str, template: Path) -> bool:
    """Whether a file is created once and then the owner's, as `copier.yml` has it."""
    patterns = OWNERS.findall((template / "copier.yml").read_text(encoding="utf-8"))
    return any(fnmatch.fnmatch(path, each) or path.startswith(f"{each}/") for each in patterns)


def plain(answers: Mapping[str, Any]) -> Answers:
    """Answers without what Copier records of the template."""
    return {name: value for name, value in answers.items() if not name.startswith("_")}


@contextmanager
def rendered(answers: Answers) -> Generator[Path]:
    """The project as the template made it for these answers, in a folder that goes away."""
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
            unsafe=True,  # Copier was trusted with this address, or it wouldn't run migrations
            settings=copier.Settings(),
        )
        yield project


# --- git ----------------------------------------------------------------------------------------


def run(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[bytes]:
    """A git command, in the project."""
    text = None if given is None else given.encode()
    return subprocess.run([*GIT, *arguments], input=text, capture_output=True, check=False)


def git(*arguments: str, given: str | None = None) -> str:
    """What a git command prints. Exits where it fails, so that Copier stops and says so."""
    done = run(*arguments, given=given)
    if done.returncode != 0:
        sys.exit(f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def listed(*arguments: str) -> list[str]:
    """The paths that a git command prints."""
    return [path for path in git(*arguments, "-z").split("\0") if path]


def show(commit: str, path: str, missing: bytes | None = None) -> bytes:
    """A file as it was committed. Exits, or gives `missing`, where it wasn't."""
    done = run("show", f"{commit}:./{path}")
    if done.returncode == 0:
        return done.stdout
    if missing is None:
        sys.exit(f"git show {commit}:{path}: {done.stderr.decode(errors='replace').strip()}")
    return missing


def read(file: Path) -> bytes | None:
    """What is in a file, if it is there."""
    return file.read_bytes() if file.is_file() else None


if __name__ == "__main__":
    main(*sys.argv[1:])
