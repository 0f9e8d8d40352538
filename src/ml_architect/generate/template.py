"""One version of the template, as Copier has fetched it: its catalogue and its changelog."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from copier.errors import CopierError
from packaging.version import Version
from plumbum.commands.processes import ProcessExecutionError

from ..errors import CommandError, nearest

ANSWERS = ".copier-answers.yml"
"""The file in which a project records the template, its version and the answers."""

FIRST = "0.6.0"
"""The first version whose projects can be updated. Repeated in migrations/__main__.py, which can't
import this package."""

HEADING = re.compile(r"^## (\d+\.\d+\.\d+\w*)\b.*$", re.MULTILINE)

CATALOGUE = Path("extensions/catalogue.py")


def require_git() -> None:
    """Fail early if git isn't installed.

    Raises:
        CommandError: there is no git.
    """
    if shutil.which("git") is None:
        raise CommandError("git: no such command; it fetches the template. Install git")


def require_questions(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse answers to unknown questions, which Copier would ignore.

    Raises:
        CommandError: with the first of them, and the most similar question or all questions.
    """
    questions = list(known)
    if unknown := sorted(set(names) - set(questions)):
        hint = nearest(unknown[0], questions, f"expected one of {', '.join(questions)}")
        raise CommandError(f"{unknown[0]}: no such question; {hint}")


def require_plain(answers: Mapping[str, Any], file: str) -> None:
    """Refuse answers in a file that no question can have.

    Raises:
        CommandError: with the first of them.
    """
    for name, value in answers.items():
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        if not all(item is None or isinstance(item, (str, int, float)) for item in items):
            raise CommandError(
                f"{file}: {name} isn't a string or a list of strings. Write it in quotes"
            )


@contextmanager
def one_line_errors(address: str, version: str | None) -> Generator[None]:
    """Turn the exceptions of Copier and its git commands into one line.

    Raises:
        CommandError: instead of theirs.
    """
    try:
        yield
    except ProcessExecutionError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"git exited with {error.retcode}"
        if version is not None and "pathspec" in error.stderr:
            raise CommandError(_unknown_version(version, address)) from None
        if not {"clone", "fetch", "ls-remote", "checkout"} & set(map(str, error.argv)):
            raise CommandError(f"git failed ({reason}); nothing was changed") from None
        raise CommandError(
            f"the template at {address} can't be fetched ({reason}). "
            "Check the address and the network, or name another template: --template ADDRESS"
        ) from None
    except RecursionError:
        raise CommandError("an answer is nested too deeply; nothing was written") from None
    except (CopierError, ValueError) as error:
        if version is not None and "Unknown revision" in str(error):
            raise CommandError(_unknown_version(version, address)) from None
        if isinstance(error, KeyboardInterrupt):  # Copier's own exception is both
            raise KeyboardInterrupt from None
        if "Local template must be a directory" in str(error):
            raise CommandError(
                "the template is neither a folder nor an address that git knows: --template ADDRESS"
            ) from None
        raise CommandError(str(error).strip() or type(error).__name__) from None


def _unknown_version(version: str, address: str) -> str:
    return (
        f"--version {version}: the template at {address} has no such version. "
        f"List them: git ls-remote --tags {shlex.quote(address.removeprefix('git+'))}"
    )


def version_of(template: Path) -> str:
    """The version in the pyproject.toml of a checkout of the template."""
    text = (template / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def is_supported(version: str) -> bool:
    """Whether projects of this version of the template can be updated."""
    return Version(version) >= Version(f"{FIRST}.dev0")


def require_supported(template: Path) -> None:
    """Refuse another template, and versions of ours whose projects can't be updated.

    Raises:
        CommandError: with the first version that is supported.
    """
    if not (template / CATALOGUE).is_file():
        raise CommandError(f"{template} has no {CATALOGUE.as_posix()}: it is another template")
    if not is_supported(version := version_of(template)):
        raise CommandError(
            f"--version {version}: its projects can't be updated. The first version is {FIRST}; "
            "omit --version for the newest"
        )


def load_catalogue(template: Path) -> Any:
    """The catalogue of this version of the template, imported under a unique name.

    With its own name, Python would return the version that was imported first.

    Raises:
        CommandError: there is none: it is another template.
    """
    path = template / CATALOGUE
    spec = importlib.util.spec_from_file_location(f"ml_architect_catalogue_{uuid4().hex}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise CommandError(f"{template} has no {CATALOGUE.as_posix()}: it is another template")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Pydantic resolves annotations there
    spec.loader.exec_module(module)
    return module.CATALOGUE


def changes(changelog: str, after: str, up_to: str) -> list[tuple[str, str]]:
    """Heading and text of each version in between, newest first."""
    headings = list(HEADING.finditer(changelog))
    ends = [heading.start() for heading in headings[1:]] + [len(changelog)]
    return [
        (heading[0].removeprefix("## "), changelog[heading.end() : end].strip())
        for heading, end in zip(headings, ends, strict=True)
        if Version(after) < Version(heading[1]) <= Version(up_to)
    ]


def summarize(text: str) -> str:
    """The first paragraph of a version's changelog, and what existing projects have to do."""
    first, *others = text.split("\n\n")
    notes = [paragraph for paragraph in others if paragraph.startswith("For a project made")]
    return "\n\n".join([first, *notes])
