"""Where the template is, by how the tool was installed, and what its versions say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from repository import commit, git

from ml_architect.errors import CommandError
from ml_architect.generate.origin import address_of
from ml_architect.generate.template import changes


def test_an_installation_from_a_repository_uses_its_address() -> None:
    plain = {"url": "https://host.example/us/template", "vcs_info": {"vcs": "git"}}
    assert address_of(plain) == "git+https://host.example/us/template"
    ending = {"url": "https://host.example/us/template.git", "vcs_info": {"vcs": "git"}}
    assert address_of(ending) == "https://host.example/us/template.git"


def test_an_installation_from_a_folder_uses_it_or_its_remote(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "copier.yml").touch()
    commit(folder)
    recorded = {"url": folder.as_uri(), "dir_info": {"editable": True}}
    assert address_of(recorded) == str(folder)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "a folder", str(clone))
    assert address_of({"url": clone.as_uri(), "dir_info": {}}) == str(folder)
    git(clone, "remote", "set-url", "origin", "git@host.example:us/template.git")
    assert address_of({"url": clone.as_uri(), "dir_info": {}}) == "git@host.example:us/template.git"


@pytest.mark.parametrize(
    "recorded", [{}, {"url": "file:///nowhere", "dir_info": {}}, {"url": "https://a", "hash": ""}]
)
def test_an_installation_without_an_address_asks_for_it(recorded: dict[str, Any]) -> None:
    with pytest.raises(CommandError, match="--template ADDRESS"):
        address_of(recorded)


def test_the_installed_command_prints_its_version() -> None:
    command = Path(sys.executable).with_name("ml-architect")
    result = subprocess.run(
        [command, "--version"], capture_output=True, encoding="utf-8", check=True
    )
    assert re.fullmatch(r"ml-architect \d+\.\d+\.\d+(\.dev\d+|rc\d+)?\n", result.stdout)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [("0.2.9", "0.3.0", "three ten"), ("0.3.0", "0.4.0rc1", "soon"), ("0.4.0rc1", "0.4.0", "four")],
)
def test_the_changelog_is_read_from_one_version_to_another(
    start: str, end: str, expected: str
) -> None:
    sections = {"0.4.0": "four", "0.4.0rc1": "soon", "0.3.0": "three", "0.2.10": "ten", "0.2.9": ""}
    text = "# C\n" + "".join(f"\n## {name} — d\n\n{text}\n" for name, text in sections.items())
    found = changes(text, start, end)
    assert " ".join(section for _, section in found) == expected
    assert all(sections[heading.removesuffix(" — d")] == section for heading, section in found)
