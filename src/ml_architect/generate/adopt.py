"""`adopt`: an existing project comes under the template, on a branch, and keeps all that it has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from copier._main import Worker
from copier._settings import SettingsModel
from rich.console import Console

from ..errors import CommandError, Declined
from .existing import Existing, read_existing
from .manifest import add_missing, add_missing_lines
from .repository import NO_HOOKS, git, git_line, own, require_clean, temporary_folder
from .screen import confirmed, say, show_answers
from .template import (
    ANSWERS,
    copiers_errors,
    load_catalogue,
    newest,
    require_questions,
    require_supported,
)

LICENSES = re.compile(r"(licen[cs]es?|copying)\b.*", re.IGNORECASE)
RELIED_ON = re.compile(r"src/.+(?<!/__init__)\.py")
READMES = re.compile(r"readme\b.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """What was asked for on the command line."""

    project: Path
    address: str
    version: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    defaults: bool = False
    branch: str = "ml-architect"

    def __call__(self, console: Console) -> None:
        """Read, ask, show, and commit what is missing to a branch; the checkout stays as it is.

        Raises:
            CommandError: the project can't be adopted as it is; nothing was written.
            Declined: the person said no.
        """
        project = self.project.expanduser().resolve()
        existing = read_existing(project, self.data.get("package_name"))
        self._require_possible(project)
        if not self.defaults and not sys.stdin.isatty():
            raise CommandError("there is no terminal to ask at: answer with --defaults and --data")
        data = {**existing.answers, **self.data}
        with temporary_folder() as folder:
            rendered = folder / project.name
            answers = self._render(data, rendered, console)
            plan = Plan.of(project, rendered)
            plan.require_works()
            plan.show(existing, console)
            if not self.defaults and not confirmed(f"Write this on the branch {self.branch}?"):
                raise Declined("nothing was written")
            if plan.kept:  # the answers say whose they are, so they are rendered with them
                rendered = folder / "again" / project.name
                self._render(
                    {**answers, "yours": sorted({*answers["yours"], *plan.kept})},
                    rendered,
                    console,
                    ask=False,
                )
            with _branch(project, self.branch) as checkout:
                plan.write(rendered, checkout)
                _commit(checkout, plan.written)
        self._say_next(project, answers, plan, console)

    def _require_possible(self, project: Path) -> None:
        if (project / ANSWERS).exists():
            raise CommandError(
                f"{project} is under the template already. For newer practice: ml-architect update"
            )
        require_clean(project)
        try:
            git(project, "var", "GIT_COMMITTER_IDENT")
        except CommandError:
            raise CommandError(
                "git doesn't know whose commit this would be. First: git config user.name NAME && "
                "git config user.email ADDRESS"
            ) from None
        try:
            git(project, "check-ref-format", "--branch", self.branch)
        except CommandError:
            raise CommandError(f"--branch {self.branch}: git takes no such name") from None
        taken = git(project, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").split()
        for each in taken:
            if f"{each}/".startswith(f"{self.branch}/") or self.branch.startswith(f"{each}/"):
                raise CommandError(
                    f"--branch {self.branch}: there is a branch {each} already. Name another, such "
                    f"as --branch {self.branch.replace('/', '-')}-2"
                )

    def _render(
        self, data: Mapping[str, Any], destination: Path, console: Console, *, ask: bool = True
    ) -> dict[str, Any]:
        """Make the project that these answers ask for. Gives all answers."""
        with (
            copiers_errors(self.address, self.version),
            Worker(
                src_path=self.address,
                dst_path=destination,
                vcs_ref=newest(self.address, self.version),
                data=dict(data),
                settings=SettingsModel(),
                defaults=True,
                quiet=True,
                unsafe=True,  # this address alone, where we ourselves came from
            ) as worker,
        ):
            catalogue = load_catalogue(worker.template.local_abspath)  # or it isn't one of ours
            questions = worker.template.questions_data
            require_supported(worker.template.local_abspath)
            require_questions(data, questions)
            if ask and not self.defaults:
                from .questions import ask as put
                from .questions import git_author

                say(console, "Escape goes back to the question before, Ctrl-C leaves.", "dim")
                worker.data = {
                    **data,
                    **put(worker, catalogue, git_author(self.project.expanduser())),
                }
            worker.run_copy()
            answers = {name: worker.answers.combined[name] for name in questions}
            if ask:
                show_answers(catalogue, answers, console)
        return answers

    def _say_next(
        self, project: Path, answers: Mapping[str, Any], plan: Plan, console: Console
    ) -> None:
        here = git_line(project, "rev-parse", "--abbrev-ref", "HEAD")
        command = str(answers["package_name"]).replace("_", "-")
        say(
            console,
            f"\n{len(plan.written)} files are one commit on the branch {self.branch}; here nothing "
            "has changed.\n\n"
            f"    git diff {here}...{self.branch}\n"
            f"    git switch {self.branch} && pip install --editable '.[dev]'\n"
            f"    {command} validate\n\n"
            f"To go back instead: git branch -D {self.branch}",
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a rendered project an existing one lacks."""

    missing: list[str]  # files to be written
    kept: list[str]  # files of the owner's where the template has one of that name
    added: dict[str, list[str]]  # by file: what is added to it
    texts: dict[str, str]  # by file: with what is added
    hidden: list[str]  # missing files that the project's own .gitignore ignores
    instead: list[str]  # files of the owner's that stand for one of the template's
    against: list[str]  # what of the owner's doesn't go with the template's files

    @classmethod
    def of(cls, project: Path, rendered: Path) -> Plan:
        """Compare the two; nothing is written."""
        missing: list[str] = []
        kept: list[str] = []
        added: dict[str, list[str]] = {}
        texts: dict[str, str] = {}
        instead: list[str] = []
        against: list[str] = []
        present = [path.name for path in project.iterdir()]
        for path in sorted(each for each in rendered.rglob("*") if each.is_file()):
            name = path.relative_to(rendered).as_posix()
            text = path.read_text(encoding="utf-8")
            if name == "pyproject.toml":
                texts[name], added[name], against = add_missing(project, text)
            elif name == ".gitignore" and (project / name).is_file():
                old = (project / name).read_bytes().decode(errors="surrogateescape")
                texts[name], added[name] = add_missing_lines(old, text)
            elif (project / name).exists() or (project / name).is_symlink():
                kept.append(name)
            elif standing := [each for each in present if _stands_for(each, name)]:
                instead += standing
            else:
                _require_folder(project, name)
                missing.append(name)
        hidden = _ignored(project, missing)
        return cls(missing, kept, added, texts, hidden, instead, against)

    @property
    def written(self) -> list[str]:
        """Every file that the branch has new or changed."""
        return [*self.missing, *(name for name, what in self.added.items() if what)]

    def write(self, rendered: Path, checkout: Path) -> None:
        """Write what is missing into a checkout of the project."""
        for name in self.missing:
            target = checkout / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((rendered / name).read_bytes())
        for name, what in self.added.items():
            if what:
                text = self.texts[name].encode(errors="surrogateescape")
                (checkout / name).write_bytes(text)  # line ends stay as they are

    def require_works(self) -> None:
        """Refuse where the template's modules would import the owner's of the same name.

        Raises:
            CommandError: naming them all.
        """
        if taken := [name for name in self.kept if RELIED_ON.fullmatch(name)]:
            raise CommandError(
                f"nothing was written, because the template's other files rely on its own "
                f"{', '.join(taken)}. Rename yours and commit; or begin another package beside: "
                "--data package_name=NAME"
            )

    def show(self, existing: Existing, console: Console) -> None:
        """The files, and what a person has to know about them."""
        parts = [(f"\nTo be written: {len(self.missing)} files", self.missing)]
        parts += [(f"\nTo be added to {name}:", what) for name, what in self.added.items() if what]
        if left := sorted([*self.kept, *self.instead]):
            parts.append(("\nLeft alone, as yours, now and by every update:", left))
        for title, lines in parts:
            say(console, title)
            for line in lines:
                say(console, f"  {line}")
        remarks = [*existing.remarks, *self.against]
        if self.hidden:
            remarks.append(
                f".gitignore hides {self.hidden[0]}"
                + (f" and {len(self.hidden) - 1} more" if len(self.hidden) > 1 else "")
                + "; what is added now is tracked all the same. Anchor the pattern: /data/"
            )
        if remarks:
            say(console, "\nTo know:")
        for remark in remarks:
            say(console, f"  {remark}")


def _require_folder(project: Path, name: str) -> None:
    """Refuse to write through a link, which may lead out of the repository, or below a file."""
    for parent in Path(name).parents:
        place = project / parent
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            raise CommandError(
                f"nothing was written, because {parent.as_posix()} is a link or a file, and the "
                f"template's {name} lies below it. Make it a folder first"
            )


def _stands_for(present: str, name: str) -> bool:
    """Whether a file at the root is the project's own licence or README under another name."""
    if "/" in name:
        return False
    both = (present, name)
    return any(all(each.fullmatch(one) for one in both) for each in (LICENSES, READMES))


def _ignored(project: Path, names: list[str]) -> list[str]:
    """Those that the project's `.gitignore` would hide."""
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=project,
        input="\0".join(names),
        capture_output=True,
        encoding="utf-8",
        check=False,  # 1: none
    )
    return [name for name in done.stdout.split("\0") if name]


@contextmanager
def _branch(project: Path, branch: str) -> Generator[Path]:
    """The project's folder in a checkout of a new branch, beside the person's own checkout."""
    inside = git_line(project, "rev-parse", "--show-prefix")
    with temporary_folder() as folder:
        checkout = folder / folder.name  # git's own files are called so, too
        own_files = own(project, f"worktrees/{checkout.name}")
        try:
            git(project, *NO_HOOKS, "worktree", "add", "--quiet", "-b", branch, str(checkout))
            yield checkout / inside
        except BaseException:
            with suppress(CommandError):  # of what was never begun, or only half
                # Twice: git locks what it hasn't finished, and may have been killed over it.
                git(project, "worktree", "remove", "--force", "--force", str(checkout))
            shutil.rmtree(own_files, ignore_errors=True)
            with suppress(CommandError):
                git(project, "branch", "-D", branch)
            raise
        git(project, "worktree", "remove", "--force", str(checkout))


def _commit(checkout: Path, names: list[str]) -> None:
    git(checkout, "add", "--force", "--", *names)  # a .gitignore with `data/` hides a package too
    quiet = (*NO_HOOKS, "-c", "commit.gpgSign=false")
    git(checkout, *quiet, "commit", "--quiet", "--message", "Come under the ml-architect template")
