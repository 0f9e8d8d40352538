"""What makes projects and what reads their runs are apart: neither imports the other."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from rendering import ROOT

PACKAGE = ROOT / "src/ml_architect"
READERS = {f"ml_architect.{name}" for name in ("runs", "studies", "reports")}
MAKER = "ml_architect.generate"

FORBIDDEN = {
    MAKER: READERS,
    # They serve any project, also one that was made by hand.
    **{each: {MAKER, "copier", "copier_template_extensions"} for each in READERS},
}
"""What a subpackage never imports, at the top of a module or within a function."""


def imported(source: str, module: str) -> Iterator[str]:
    """The full name of everything that a module imports.

    Args:
        source: its text.
        module: its full name; that of a package ends in `.__init__`.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parent, *filter(None, [node.module])])
            yield from (f"{base}.{each.name}" for each in node.names)


def within(name: str, package: str) -> bool:
    """Whether a name is that of a package, or of something in it."""
    return f"{name}.".startswith(f"{package}.")


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_no_subpackage_imports_from_across_the_border(package: str) -> None:
    found: list[str] = []
    for file in sorted((ROOT / "src" / package.replace(".", "/")).rglob("*.py")):
        place = file.relative_to(ROOT / "src").with_suffix("")
        found += [
            f"{place} imports {name}"
            for name in imported(file.read_text(encoding="utf-8"), ".".join(place.parts))
            if any(within(name, each) for each in FORBIDDEN[package])
        ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import copier", "copier"),
        ("import copier._main as main", "copier._main"),
        ("from ..generate.update import Update", "ml_architect.generate.update.Update"),
        ("from .. import generate", "ml_architect.generate"),
        ("from . import run", "ml_architect.runs.run"),
        ("def f():\n    from ml_architect import generate", "ml_architect.generate"),
    ],
)
def test_every_form_of_an_import_is_understood(line: str, expected: str) -> None:
    assert list(imported(line, "ml_architect.runs.table")) == [expected]


def test_a_package_resolves_relative_names_within_itself() -> None:
    assert list(imported("from .run import Run", "ml_architect.runs.__init__")) == [
        "ml_architect.runs.run.Run"
    ]
