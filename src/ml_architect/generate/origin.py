"""Where the template is: where this package itself came from.

No address stands in the code. An installation from a repository is remembered by pip in
`direct_url.json` (https://packaging.python.org/en/latest/specifications/direct-url/); one from a
folder leads to that folder, and on to the remote that it was cloned from.
"""

from __future__ import annotations

import json
import subprocess
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from ..errors import CommandError

PACKAGE = "ml-architect"
UNKNOWN = (
    "this ml-architect doesn't say where it came from (it wasn't installed from a repository or "
    "a folder). Name the template: --template ADDRESS"
)


def template_address(given: str | None = None) -> str:
    """The address of the template, as Copier takes it and as projects record it.

    Args:
        given: what a person named instead; a folder is made absolute, so that a project finds it
            from wherever it lies.

    Raises:
        CommandError: it is neither given nor known.
    """
    if given is not None:
        folder = Path(given).expanduser()
        return str(folder.resolve()) if folder.is_dir() else given
    return address_of(_direct_url())


def address_of(direct_url: dict[str, Any]) -> str:
    """The address of the repository that a `direct_url.json` speaks of.

    Raises:
        CommandError: it speaks of an archive, or of a folder that is gone or no repository.
    """
    url = str(direct_url.get("url", ""))
    if "vcs_info" in direct_url:
        return url if url.endswith(".git") else f"git+{url}"
    if "dir_info" not in direct_url:
        raise CommandError(UNKNOWN)
    folder = Path(url2pathname(unquote(urlsplit(url).path)))
    if not (folder / "copier.yml").is_file():
        raise CommandError(
            f"the template that this ml-architect was installed from isn't in {folder} any more. "
            "Name it: --template ADDRESS"
        )
    return _remote(folder) or str(folder)


def _direct_url() -> dict[str, Any]:
    try:
        recorded = Distribution.from_name(PACKAGE).read_text("direct_url.json")
    except PackageNotFoundError:
        recorded = None
    if recorded is None:
        raise CommandError(UNKNOWN)
    return json.loads(recorded)


def _remote(folder: Path) -> str | None:
    """Where a clone came from, which others can reach too; a folder of ours they can't."""
    command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    address = done.stdout.removesuffix("\n")
    if done.returncode != 0 or not address:
        return None
    beside = folder / Path(address).expanduser()  # a path may be meant from the clone
    return str(beside.resolve()) if beside.is_dir() else address
