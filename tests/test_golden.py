"""Generated files change only if somebody has reviewed the change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from golden import GOLDEN, PROJECTS, differences, render_golden


@pytest.mark.parametrize("name", PROJECTS)
def test_generated_files_match_the_golden_files(name: str, template: Path, tmp_path: Path) -> None:
    changes = list(differences(GOLDEN / name, render_golden(template, name, tmp_path / "rendered")))
    assert not changes, "\n\n".join([*changes, "If this is intended: make golden"])


def test_there_are_no_other_golden_projects() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(PROJECTS)


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal folders: golden and rendered files."""
    golden, rendered = tmp_path / "golden", tmp_path / "rendered"
    (golden / "src").mkdir(parents=True)
    (golden / "README.md").write_text("Read me.\n", encoding="utf-8")
    (golden / "src" / "loop.py").write_text("step = 1\n", encoding="utf-8")
    shutil.copytree(golden, rendered)
    return golden, rendered


def test_equal_trees_do_not_differ(trees: tuple[Path, Path]) -> None:
    assert list(differences(*trees)) == []


def test_a_new_file_is_missing(trees: tuple[Path, Path]) -> None:
    (trees[0] / "src" / "loop.py").unlink()
    assert list(differences(*trees)) == ["missing: src/loop.py"]


def test_a_file_that_is_no_longer_generated_is_obsolete(trees: tuple[Path, Path]) -> None:
    (trees[1] / "README.md").unlink()
    assert list(differences(*trees)) == ["obsolete: README.md"]


def test_a_changed_file_is_listed_with_its_diff(
    trees: tuple[Path, Path],
) -> None:
    (trees[1] / "src" / "loop.py").write_text("step = 2\n", encoding="utf-8")
    (change,) = differences(*trees)
    assert change.startswith("changed: src/loop.py\n")
    assert "-step = 1\n+step = 2" in change


def test_line_endings_are_compared(trees: tuple[Path, Path]) -> None:
    (trees[1] / "README.md").write_bytes(b"Read me.\r\n")
    assert [change.splitlines()[0] for change in differences(*trees)] == ["changed: README.md"]
