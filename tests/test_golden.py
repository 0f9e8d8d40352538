"""Generated files change only if somebody has reviewed the change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from golden import GOLDEN, PROJECTS, differences, make


@pytest.mark.parametrize("name", PROJECTS)
def test_generated_files_are_those_that_are_kept(name: str, template: Path, tmp_path: Path) -> None:
    changes = list(differences(GOLDEN / name, make(template, name, tmp_path / "made")))
    assert not changes, "\n\n".join([*changes, "If this is intended: make golden"])


def test_only_known_projects_are_kept() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(PROJECTS)


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal folders: the one that is kept, and the one that was made."""
    kept, made = tmp_path / "kept", tmp_path / "made"
    (kept / "src").mkdir(parents=True)
    (kept / "README.md").write_text("Read me.\n", encoding="utf-8")
    (kept / "src" / "loop.py").write_text("step = 1\n", encoding="utf-8")
    shutil.copytree(kept, made)
    return kept, made


def test_equal_trees_do_not_differ(trees: tuple[Path, Path]) -> None:
    assert list(differences(*trees)) == []


def test_a_new_file_is_missing(trees: tuple[Path, Path]) -> None:
    (trees[0] / "src" / "loop.py").unlink()
    assert list(differences(*trees)) == ["missing: src/loop.py"]


def test_a_file_that_is_no_longer_made_is_obsolete(trees: tuple[Path, Path]) -> None:
    (trees[1] / "README.md").unlink()
    assert list(differences(*trees)) == ["obsolete: README.md"]


def test_a_changed_file_is_listed_with_its_diff(
    trees: tuple[Path, Path],
) -> None:
    (trees[1] / "src" / "loop.py").write_text("step = 2\n", encoding="utf-8")
    (change,) = differences(*trees)
    assert change.startswith("changed: src/loop.py\n")
    assert "-step = 1\n+step = 2" in change


def test_line_endings_are_part_of_a_file(trees: tuple[Path, Path]) -> None:
    (trees[1] / "README.md").write_bytes(b"Read me.\r\n")
    assert [change.splitlines()[0] for change in differences(*trees)] == ["changed: README.md"]
