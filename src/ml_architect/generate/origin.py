"""The address of the template: the one that this package was installed from.

pip records it in `direct_url.json`
(https://packaging.python.org/en/latest/specifications/direct-url/). If that is a folder, the
template is the remote that the folder was cloned from, or the folder itself.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from ..errors import CommandError

PACKAGE = "ml-architect"
UNKNOWN = (
    "this ml-architect wasn't installed from a repository or a folder, so the template's address "
    "is unknown. Name it: --template ADDRESS"
)


def template_address(given: str | None = None) -> str:
    """The address of the template, as Copier takes it and as projects record it.

    Args:
        given: an address to use instead; a folder is made absolute, since projects record it.

    Raises:
        CommandError: it is neither given nor known.
    """
    if given is not None:
        try:
            folder = Path(given).expanduser()
        except RuntimeError:
            raise CommandError(f"--template {given}: there is no such user") from None
        return str(folder.resolve()) if folder.is_dir() else given
    return address_of(_direct_url())


def address_of(direct_url: dict[str, Any]) -> str:
    """The address of the repository in a `direct_url.json`.

    Raises:
        CommandError: it is an archive, or a folder that doesn't exist or isn't a template.
    """
    from urllib.parse import unquote, urlsplit
    from urllib.request import url2pathname  # slow to import

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
    from importlib.metadata import Distribution, PackageNotFoundError  # slow to import

    try:
        recorded = Distribution.from_name(PACKAGE).read_text("direct_url.json")
    except PackageNotFoundError:
        recorded = None
    if recorded is None:
        raise CommandError(UNKNOWN)
    return json.loads(recorded)


def _remote(folder: Path) -> str | None:
    """The remote of a clone, which other machines can reach, unlike the folder."""
    command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    address = done.stdout.removesuffix("\n")
    if done.returncode != 0 or not address:
        return None
    path = folder / Path(address).expanduser()  # may be relative to the clone
    return str(path.resolve()) if path.is_dir() else address
