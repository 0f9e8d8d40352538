"""One version of the template, as Copier has fetched it: its catalogue and its changelog."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import tomllib
from collections.abc import Generator, Iterable
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from copier._vcs import get_latest_tag, get_repo
from copier.errors import CopierError
from packaging.version import Version
from plumbum.commands.processes import ProcessExecutionError

from ..errors import CommandError, nearest

ANSWERS = ".copier-answers.yml"
"""Where a project records what it was made from."""

FIRST = "0.6.0"
"""The first version whose projects are updated; migrations/__main__.py, which can't import this
package, has it too."""

HEADING = re.compile(r"^## (\d+\.\d+\.\d+\w*)\b.*$", re.MULTILINE)


def require_git() -> None:
    """Find out early.

    Raises:
        CommandError: there is no git.
    """
    if shutil.which("git") is None:
        raise CommandError("git: no such command, and the template is fetched with it. Install git")


def require_questions(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse an answer to a question that isn't asked, which Copier would pass over.

    Raises:
        CommandError: naming the first of them, and the question that is like it, or all.
    """
    asked = list(known)
    if unknown := sorted(set(names) - set(asked)):
        hint = nearest(unknown[0], asked, f"expected one of {', '.join(asked)}")
        raise CommandError(f"{unknown[0]}: no such question; {hint}")


@contextmanager
def copiers_errors(address: str, version: str | None) -> Generator[None]:
    """Say in one line what Copier and its git say in a traceback.

    Raises:
        CommandError: in place of theirs.
    """
    try:
        yield
    except ProcessExecutionError as error:
        said = [line for line in error.stderr.splitlines() if line.strip()]
        reason = said[-1] if said else f"git ended with {error.retcode}"
        if version is not None and "pathspec" in error.stderr:
            raise CommandError(_unknown(version, address)) from None
        if not {"clone", "fetch", "ls-remote", "checkout"} & set(map(str, error.argv)):
            raise CommandError(f"git failed ({reason}); nothing was changed") from None
        raise CommandError(
            f"the template at {address} can't be fetched ({reason}). "
            "Look at the address and the network, or name another: --template ADDRESS"
        ) from None
    except (CopierError, ValueError) as error:
        if version is not None and "Unknown revision" in str(error):
            raise CommandError(_unknown(version, address)) from None
        if isinstance(error, KeyboardInterrupt):  # Copier's own is both
            raise KeyboardInterrupt from None
        raise CommandError(_first_sentence(error)) from None


def _unknown(version: str, address: str) -> str:
    return (
        f"--version {version}: the template at {address} has no such version; "
        f"it has those of: git ls-remote --tags {address.removeprefix('git+')}"
    )


def _first_sentence(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    if "Local template must be a directory" in text:
        return "the template is neither a folder nor an address that git knows: --template ADDRESS"
    return text


def newest(address: str, version: str | None) -> str | None:
    """The version that was asked for, or the newest tag, or HEAD where nothing is tagged.

    Copier looks for the newest tag itself, but warns in red where there is none.
    """
    repository = get_repo(address)
    if version is not None or repository is None:
        return version
    with redirect_stderr(StringIO()):
        return get_latest_tag(repository)


def version_of(template: Path) -> str:
    """The version that a checkout of the template says it has."""
    text = (template / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def is_supported(version: str) -> bool:
    """Whether projects of this version of the template are updated."""
    return Version(version) >= Version(f"{FIRST}.dev0")


def require_supported(template: Path) -> None:
    """Refuse to start from a version of the template whose projects aren't updated.

    Raises:
        CommandError: naming the first version that is.
    """
    if not is_supported(version := version_of(template)):
        raise CommandError(
            f"--version {version}: its projects can't be updated. The first version is {FIRST}; "
            "leave --version out for the newest"
        )


def load_catalogue(template: Path) -> Any:
    """The catalogue of this version of the template, under a name of its own.

    A plain import would give the first version that was asked for, whatever is asked for next.

    Raises:
        CommandError: there is none: it is another template.
    """
    path = template / "extensions" / "catalogue.py"
    spec = importlib.util.spec_from_file_location(f"ml_architect_catalogue_{uuid4().hex}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise CommandError(f"{template} has no extensions/catalogue.py: it is another template")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Pydantic looks annotations up there
    spec.loader.exec_module(module)
    return module.CATALOGUE


def changes(changelog: str, after: str, up_to: str) -> list[tuple[str, str]]:
    """What the changelog says of each version in between, newest first: heading and text."""
    headings = list(HEADING.finditer(changelog))
    ends = [each.start() for each in headings[1:]] + [len(changelog)]
    return [
        (heading[0].removeprefix("## "), changelog[heading.end() : end].strip())
        for heading, end in zip(headings, ends, strict=True)
        if Version(after) < Version(heading[1]) <= Version(up_to)
    ]


def essence(text: str) -> str:
    """What a version brings in a sentence, and what a person has to do in a project that exists."""
    first, *rest = text.split("\n\n")
    return "\n\n".join([first, *(each for each in rest if each.startswith("For a project made"))])
