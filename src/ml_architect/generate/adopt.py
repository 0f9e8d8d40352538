"""`adopt`: adds what an existing project lacks on a branch, and leaves its own files unchanged."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import CommandError, Declined
from .existing import LICENSE_FILES, Existing, installation, read_existing
from .manifest import add_missing, add_missing_lines, create
from .repository import (
    NO_HOOKS,
    git,
    git_line,
    own,
    require_clean,
    require_free,
    temporary_folder,
)
from .screen import confirm, show, show_answers
from .template import (
    ANSWERS,
    load_catalogue,
    one_line_errors,
    require_questions,
    require_supported,
)
from .worker import newest, open_template

COMPLETED = ("pyproject.toml", ".gitignore")
"""The project's own files to which lines are added."""

READMES = re.compile(r"readme\b.*", re.IGNORECASE)
MODULES = re.compile(r"src/.+(?<!/__init__)\.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """The options of the command."""

    project: Path
    address: str
    version: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    defaults: bool = False
    branch: str = "ml-architect"

    def __call__(self, console: Console) -> None:
        """Read, ask, show, and commit what is missing to a branch; the checkout isn't changed.

        Raises:
            CommandError: the project can't be adopted in its present state; nothing was written.
            Declined: the user declined.
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
            if plan.taken and "package_name" not in self.data:
                package = f"{answers['package_name']}_ml"
                rendered = folder / "beside" / project.name
                data = {**answers, "package_name": package}
                answers = self._render(data, rendered, console, ask=False)
                plan = Plan.of(project, rendered).beside(plan.taken, package)
            if plan.taken:
                raise CommandError(
                    f"nothing was written, because the template's other files need its own "
                    f"{', '.join(plan.taken)}. To add another package: ml-architect adopt "
                    f"{shlex.quote(str(self.project))} "
                    f"--data package_name={answers['package_name']}_ml"
                )
            plan.show(existing, console)
            if not self.defaults and not confirm(f"Write this on the branch {self.branch}?"):
                raise Declined("nothing was written")
            if plan.kept:  # render again, since the answers list the owner's files
                rendered = folder / "again" / project.name
                owned = sorted({*answers["yours"], *plan.kept})
                self._render({**answers, "yours": owned}, rendered, console, ask=False)
            with _branch(project, self.branch) as checkout:
                plan.write(rendered, checkout)
                _commit(checkout, plan.written)
        self._show_next_steps(project, answers, plan, console)

    def _require_possible(self, project: Path) -> None:
        if (project / ANSWERS).exists():
            raise CommandError(
                f"{project} uses the template already. To update it: ml-architect update"
            )
        require_clean(project)
        try:
            git(project, "var", "GIT_COMMITTER_IDENT")
        except CommandError:
            raise CommandError(
                "git has no name for the commit. First: git config user.name NAME && "
                "git config user.email ADDRESS"
            ) from None
        try:
            git(project, "check-ref-format", "--branch", self.branch)
        except CommandError:
            raise CommandError(f"--branch {self.branch}: git accepts no such name") from None
        branches = git(project, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")
        for branch in branches.split():
            if f"{branch}/".startswith(f"{self.branch}/") or self.branch.startswith(f"{branch}/"):
                raise CommandError(
                    f"--branch {self.branch}: there is a branch {branch} already. Choose another "
                    f"name, such as --branch {self.branch.replace('/', '-')}-2"
                )

    def _render(
        self, data: Mapping[str, Any], destination: Path, console: Console, *, ask: bool = True
    ) -> dict[str, Any]:
        """Make the project that these answers describe. Returns all answers."""
        with (
            one_line_errors(self.address, self.version),
            open_template(
                self.address,
                newest(self.address, self.version),
                dst_path=destination,
                data=dict(data),
                defaults=True,
            ) as worker,
        ):
            require_supported(worker.template.local_abspath)
            questions = worker.template.questions_data
            require_questions(data, questions)
            catalogue = load_catalogue(worker.template.local_abspath) if ask else None
            if ask and not self.defaults:
                from .questions import ask as ask_questions
                from .questions import git_author

                show(console, "Escape returns to the previous question, Ctrl-C cancels.", "dim")
                author = git_author(self.project.expanduser())
                worker.data = {**data, **ask_questions(worker, catalogue, author)}
            worker.run_copy()
            answers = {name: worker.answers.combined[name] for name in questions}
            if ask:
                show_answers(catalogue, answers, console)
        return answers

    def _show_next_steps(
        self, project: Path, answers: Mapping[str, Any], plan: Plan, console: Console
    ) -> None:
        current = git_line(project, "rev-parse", "--abbrev-ref", "HEAD")
        package = answers["package_name"]
        command = str(package).replace("_", "-")
        show(
            console,
            f"\n{len(plan.written)} files are one commit on the branch {self.branch}; your "
            "checkout hasn't changed.\n\n"
            f"    git diff {shlex.quote(f'{current}...{self.branch}')}\n"
            f"    git switch {shlex.quote(self.branch)} && {installation(project)}\n"
            f"    {command} validate\n\n"
            "Until you change it, that is the sample data. What reads yours goes into\n"
            f"src/{package}/data/source.py, your model and its loss into\n"
            f"src/{package}/models/network.py, their settings into src/{package}/settings.py.\n"
            "Import your own code there.\n\n"
            f"To undo it: git branch -D {shlex.quote(self.branch)}",
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The differences between an existing project and a rendered one."""

    missing: list[str]  # files to write
    kept: list[str]  # files of the owner's under the name of one of the template's
    added: dict[str, list[str]]  # by file: what is added to it
    texts: dict[str, str]  # by file: its new content
    hidden: list[str]  # missing files that the project's own .gitignore ignores
    instead: list[str]  # the owner's licence and README, if they have other names
    remarks: list[str]  # what of the owner's is incompatible with the template's files

    @classmethod
    def of(cls, project: Path, rendered: Path) -> Plan:
        """Compare the two; nothing is written."""
        plan = cls([], [], {}, {}, [], [], [])
        changed = [name for name in COMPLETED if (rendered / name).is_file()]
        require_free(project, changed)
        names = sorted(path.name for path in project.iterdir())
        for path in sorted(path for path in rendered.rglob("*") if path.is_file()):
            name = path.relative_to(rendered).as_posix()
            text = path.read_text(encoding="utf-8")
            if name == "pyproject.toml":
                plan._complete_manifest(project, rendered, text)
            elif name == ".gitignore" and (project / name).is_file():
                old = (project / name).read_bytes().decode(errors="surrogateescape")
                plan.texts[name], plan.added[name] = add_missing_lines(old, text)
            elif (project / name).exists() or (project / name).is_symlink():
                plan.kept.append(name)
            elif equivalent := [other for other in names if _is_equivalent(other, name)]:
                plan.instead.extend(equivalent)
            else:
                plan.missing.append(name)
        require_free(project, plan.missing)
        plan.hidden.extend(_ignored(project, plan.missing))
        return plan

    def _complete_manifest(self, project: Path, rendered: Path, text: str) -> None:
        """Plan the project's `pyproject.toml`."""
        name = "pyproject.toml"
        owned = _code_outside(project, rendered)
        if (project / name).exists():
            manifest = add_missing(project, text, owned)
        else:
            readmes = (path.name for path in project.iterdir() if READMES.fullmatch(path.name))
            manifest = create(project, text, next(readmes, None), owned)
            self.missing.append(name)
        self.texts[name], self.added[name] = manifest.text, manifest.added
        self.remarks.extend(manifest.remarks)

    @property
    def taken(self) -> list[str]:
        """The owner's modules that the template's other modules would import for its own."""
        return [name for name in self.kept if MODULES.fullmatch(name)]

    def beside(self, taken: list[str], package: str) -> Plan:
        """Remark that the template's modules are in a package beside the owner's."""
        self.remarks.append(
            f"{', '.join(taken)}: yours, so the template's modules are in another package, "
            f"src/{package}. To name it: --data package_name=NAME. To ship both, name both as "
            "packages to your build backend"
        )
        return self

    @property
    def written(self) -> list[str]:
        """Every file that is new or changed on the branch."""
        changed = [name for name, what in self.added.items() if what]
        return [*self.missing, *(name for name in changed if name not in self.missing)]

    def write(self, rendered: Path, checkout: Path) -> None:
        """Write what is missing into a checkout of the project."""
        for name in self.written:
            target = checkout / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if name in self.texts:  # line ends stay as they are
                target.write_bytes(self.texts[name].encode(errors="surrogateescape"))
            else:
                target.write_bytes((rendered / name).read_bytes())

    def show(self, existing: Existing, console: Console) -> None:
        """Print the files and the remarks."""
        sections = [(f"\nTo be written: {len(self.missing)} files", self.missing)]
        sections += [
            (f"\nTo be added to {name}:", what) for name, what in self.added.items() if what
        ]
        if owned := sorted([*self.kept, *self.instead]):
            sections.append(("\nYours, not changed now or by any update:", owned))
        for title, lines in sections:
            show(console, title)
            for line in lines:
                show(console, f"  {line}")
        remarks = [*existing.remarks, *self.remarks]
        if self.hidden:
            remarks.append(
                f".gitignore hides {self.hidden[0]}"
                + (f" and {len(self.hidden) - 1} more" if len(self.hidden) > 1 else "")
                + "; the files that are added now are tracked anyway. Anchor the pattern: /data/"
            )
        if remarks:
            show(console, "\nNotes:")
        for remark in remarks:
            show(console, f"  {remark}")


def _code_outside(project: Path, rendered: Path) -> list[str]:
    """The owner's Python files, or the folders with them that the template doesn't share."""
    shared = {path.relative_to(rendered) for path in rendered.rglob("*") if path.is_dir()}
    owned: set[str] = set()
    listed = git(project, "ls-files", "-z", "--", "*.py", "*.pyi", "*.ipynb").split("\0")
    for path in map(Path, filter(None, listed)):
        outer = [parent for parent in path.parents if parent not in shared and parent.name]
        owned.add((outer[-1] if outer else path).as_posix())
    return sorted(owned)


def _is_equivalent(present: str, name: str) -> bool:
    """Whether a file at the root is the project's own licence or README under another name."""
    return "/" not in name and any(
        kind.fullmatch(present) and kind.fullmatch(name) for kind in (LICENSE_FILES, READMES)
    )


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
    """The project's folder in a temporary checkout of a new branch."""
    prefix = git_line(project, "rev-parse", "--show-prefix")
    with temporary_folder() as folder:
        checkout = folder / folder.name  # also the name of git's own files
        own_files = own(project, f"worktrees/{checkout.name}")
        try:
            git(project, *NO_HOOKS, "worktree", "add", "--quiet", "-b", branch, str(checkout))
            yield checkout / prefix
        except BaseException:
            with suppress(CommandError):  # it may not exist yet
                # Twice, since git locks an unfinished worktree and may have been killed meanwhile.
                git(project, "worktree", "remove", "--force", "--force", str(checkout))
            shutil.rmtree(own_files, ignore_errors=True)
            with suppress(CommandError):
                git(project, "branch", "-D", branch)
            raise
        git(project, "worktree", "remove", "--force", str(checkout))


def _commit(checkout: Path, names: list[str]) -> None:
    git(checkout, "add", "--force", "--", *names)  # a .gitignore with `data/` hides a package, too
    options = (*NO_HOOKS, "-c", "commit.gpgSign=false")
    git(checkout, *options, "commit", "--quiet", "--message", "Adopt the ml-architect template")
