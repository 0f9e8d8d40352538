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
"""How `copier.yml` leaves out of an update what is the owner's."""

GIT = ("git", "-c", f"core.hooksPath={os.devnull}")
"""A hook of the owner's that fails would stop us half-way; Copier leaves them out as well."""

FIRST = "0.6.0"
"""The first version whose projects are updated; generate/template.py of the tool has it too."""

MOST_CONFLICTS = 127
"""`git merge-file` ends with their number; beyond it, with an error."""

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
    """Exit where the project is older than the first version that updates are made from."""
    from packaging.version import Version

    version = version_at(template, os.environ.get("VERSION_FROM", ""))
    if version is not None and Version(version) < Version(f"{FIRST}.dev0"):
        print(
            f"this project was made with {version}, and updates begin with {FIRST}. Make a new "
            "project and move data/source.py, features/transforms.py, models/network.py and "
            "configs/ into it",
            file=sys.stderr,
        )
        sys.exit(2)


def version_at(template: Path, commit: str) -> str | None:
    """The version that the template had at a commit, or None where its history lacks the commit.

    That is so for a project that was made from a folder whose changes weren't committed.
    """
    done = run("-C", str(template), "show", f"{commit}:pyproject.toml")
    if done.returncode != 0:
        return None
    return str(tomllib.loads(done.stdout.decode())["project"]["version"])


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
    """Keep what the owner wrote where it would be lost, and bring files that are new and theirs."""
    then = load(show("HEAD", ANSWERS).decode())
    now = load(Path(ANSWERS).read_text(encoding="utf-8"))
    if then == now:
        return
    moves = {
        each.old.format_map(now): each.new.format_map(now)
        for each in HISTORY
        if isinstance(each, MovedFile)
    }
    gone = differing("D")
    no_text = [path for path in differing("M") if not is_text(show("HEAD", path))]
    arrived = [path for path in moves.values() if Path(path).is_file() and not is_committed(path)]
    left_out = [
        path
        for each in HISTORY
        if isinstance(each, LeftOutFile) and now.get(each.question) == each.answer
        if is_committed(path := each.path.format_map(now)) and Path(path).is_file()
    ]
    brings = brings_owners_files(template, then, now)
    compared = brings or no_text or now.get("yours")
    if not (gone or arrived or left_out or compared):
        return
    with rendered(then) as old:
        for path in left_out:
            if (old / path).is_file():  # the template's, and not one of the owner's own
                Path(path).unlink()
                gone.append(path)
        for path in arrived:
            refuse_arrival(path, old, moves, now)
        for path in gone:
            keep(path, old, moves, now)
        if compared:
            with rendered(now) as new:
                merge_bytes(no_text, old, new)
                if brings:
                    create_owners_files(template, old, new, moves, now)
                say_what_yours_misses(now.get("yours", ()), old, new)


def keep(path: str, old: Path, moves: Mapping[str, str], now: Answers) -> None:
    """Keep what the owner wrote into a file that the template has no more, or has elsewhere."""
    if is_taken_over(path, now):
        git("checkout", "--quiet", "HEAD", "--", path)
        return
    mine, base = show("HEAD", path), read(old / path)
    switched = base is not None and is_program(path) != bool((old / path).stat().st_mode & 0o100)
    if mine == base and not switched:
        return  # nothing of the owner's is in it
    new = path
    while new in moves:  # it may have moved more than once
        new = moves[new]
    if new == path or not Path(new).is_file():
        git("checkout", "--quiet", "HEAD", "--", path)
        print(f"kept {path}: the template has it no more, and you had changed it")
    elif is_committed(new):
        git("checkout", "--quiet", "HEAD", "--", path)
        print(f"kept {path}: it is called {new} now, where you have a file of your own")
    else:
        if switched:
            mode = Path(new).stat().st_mode
            Path(new).chmod(mode | 0o111 if is_program(path) else mode & ~0o111)
        said = f"{path} is called {new} now; what you wrote into it went along"
        if not merge(new, mine, base or b"", Path(new).read_bytes(), said):
            git("checkout", "--quiet", "HEAD", "--", path)
            print(f"kept {path}: it is called {new} now, and what isn't text can't be merged")


def merge_bytes(paths: list[str], old: Path, new: Path) -> None:
    """Merge once more, in bytes, what isn't UTF-8: Copier merges text, and drops other bytes."""
    for path in paths:
        theirs = read(new / path)
        if theirs is None:
            continue  # not a file of the template's
        said = f"{path} isn't UTF-8, and was merged byte by byte"
        if not merge(path, show("HEAD", path), read(old / path) or b"", theirs, said):
            git("checkout", "--quiet", "HEAD", "--", path)
            print(f"kept {path} as you have it: what isn't text can't be merged")


def merge(path: str, mine: bytes, base: bytes, theirs: bytes, said: str) -> bool:
    """Merge three files into one, and enter a conflict into the index, so that git lists it.

    Returns:
        Whether git could: it merges nothing with a zero byte in it.
    """
    if git("ls-files", "--unmerged", "--", path):
        return True  # we have been here, or Copier, which merges bytes where a patch doesn't fit
    target = Path(path)
    with tempfile.TemporaryDirectory(prefix="ml-architect-") as folder:
        sides = [Path(folder) / name for name in ("mine", "base", "theirs")]
        for side, content in zip(sides, (mine, base, theirs), strict=True):
            side.write_bytes(content)
        labels = ("before updating", "last update", "after updating")  # as Copier has them
        named = [word for label in labels for word in ("-L", label)]
        done = run("merge-file", "-p", *named, "--", *map(str, sides))
        if done.returncode > MOST_CONFLICTS:
            return False
        if done.stdout == target.read_bytes():
            return True
        target.write_bytes(done.stdout)
        print(said)
        if done.returncode == 0:
            return True
        print(f"{path}: you and the template changed the same lines; look for <<<<<<<")
        ours, common, other = (
            line("hash-object", "-w", "--no-filters", "--", str(side)) for side in sides
        )
    place = line("rev-parse", "--show-prefix") + path  # the index counts from its root
    mode = "100755" if target.stat().st_mode & 0o100 else "100644"
    stages = [f"{mode} {blob} {n}\t{place}" for blob, n in ((common, 1), (ours, 2), (other, 3))]
    git("update-index", "--index-info", given="\n".join([f"0 {'0' * 40}\t{place}", *stages]))
    return True


def refuse_arrival(path: str, old: Path, moves: Mapping[str, str], now: Answers) -> None:
    """Take away a moved file whose owner has deleted it, or taken it over, under its old name."""
    if origin := unwanted(path, old, moves, now):
        Path(path).unlink()
        why = "is yours and stays" if is_committed(origin) else "stays away, as you deleted it"
        print(f"{origin} {why}; the template calls it {path} now")


def unwanted(path: str, old: Path, moves: Mapping[str, str], now: Answers) -> str | None:
    """The earlier name under which the owner has deleted a file or taken it over, if they have."""
    came_from = {new: old for old, new in moves.items()}
    while path in came_from:
        path = came_from[path]
        if (old / path).is_file():
            return path if is_taken_over(path, now) or not is_committed(path) else None
    return None


def say_what_yours_misses(yours: list[str], old: Path, new: Path) -> None:
    """Name what the template changed in the files that an owner keeps from its updates."""
    known = {
        path.relative_to(folder).as_posix()
        for folder in (old, new)
        for path in folder.rglob("*")
        if path.is_file()
    }
    for each in yours:
        covered = sorted(path for path in known if is_taken_over(path, {"yours": [each]}))
        if not covered:
            print(f"yours: the template has no {each}; mend the name, or drop it from the list")
        for path in covered:
            before, since = read(old / path) or b"", read(new / path) or b""
            if before != since:
                blobs = " ".join(
                    run("hash-object", "-w", "--stdin", given=side).stdout.decode()[:12]
                    for side in (before, since)
                )
                print(f"yours, not updated: {path}; what the template changed: git diff {blobs}")


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


def create_owners_files(
    template: Path, old: Path, new: Path, moves: Mapping[str, str], now: Answers
) -> None:
    """Write the owner's files that the old version hadn't; one that was there was deleted since."""
    for source in sorted(path for path in new.rglob("*") if path.is_file()):
        path = source.relative_to(new)
        if not is_owners(path.as_posix(), template) or (old / path).exists() or path.exists():
            continue
        if unwanted(path.as_posix(), old, moves, now):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)  # with its mode
        print(f"created {path.as_posix()}: yours from now on")


def is_owners(path: str, template: Path) -> bool:
    """Whether a file is created once and then the owner's, as `copier.yml` has it."""
    patterns = OWNERS.findall((template / "copier.yml").read_text(encoding="utf-8"))
    assert patterns, "copier.yml leaves out the owner's files in another way than OWNERS reads"
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


def run(*arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """A git command, in the project."""
    return subprocess.run([*GIT, *arguments], input=given, capture_output=True, check=False)


def git(*arguments: str, given: str | None = None) -> str:
    """What a git command prints. Exits where it fails, so that Copier stops and says so."""
    done = run(*arguments, given=None if given is None else given.encode())
    if done.returncode != 0:
        sys.exit(f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode()


def line(*arguments: str) -> str:
    """The one line that a git command prints; a name may end in a space."""
    return git(*arguments).removesuffix("\n")


def listed(*arguments: str) -> list[str]:
    """The paths that a git command prints."""
    return [path for path in git(*arguments, "-z").split("\0") if path]


def differing(kind: str) -> list[str]:
    """The committed paths that the update has deleted (D) or modified (M)."""
    only = (f"--diff-filter={kind}", "--no-renames", "--ignore-submodules", "--relative")
    return listed("diff", *only, "--name-only", "HEAD")


def show(commit: str, path: str) -> bytes:
    """A file as it was committed. Exits where it wasn't."""
    done = run("show", f"{commit}:./{path}")
    if done.returncode != 0:
        sys.exit(f"git show {commit}:{path}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def is_committed(path: str) -> bool:
    """Whether the owner's last commit has a file."""
    return run("cat-file", "-e", f"HEAD:./{path}").returncode == 0


def is_program(path: str) -> bool:
    """Whether the owner's last commit has a file as a program."""
    return git("ls-tree", "HEAD", "--", path).startswith("100755")


def is_text(content: bytes) -> bool:
    """Whether Copier's merge, which decodes, and git's patches leave every byte as it is."""
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def read(file: Path) -> bytes | None:
    """What is in a file, if it is there."""
    return file.read_bytes() if file.is_file() else None


if __name__ == "__main__":
    main(*sys.argv[1:])
