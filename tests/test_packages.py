"""The generator and the code that reads runs don't depend on each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from rendering import ROOT

PACKAGE = ROOT / "src/ml_architect"
READERS = {f"ml_architect.{name}" for name in ("runs", "studies", "reports", "launch")}
GENERATOR = "ml_architect.generate"

FORBIDDEN = {
    GENERATOR: READERS,
    # They also work with projects that weren't generated.
    **{reader: {GENERATOR, "copier", "copier_template_extensions"} for reader in READERS},
}
"""What a subpackage never imports, at the top of a module or in a function."""


def imported(source: str, module: str) -> Iterator[str]:
    """The full names of everything that a module imports.

    Args:
        source: the source code of the module.
        module: its full name, which ends in `.__init__` for a package.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parent, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def is_within(name: str, package: str) -> bool:
    """Whether a name is that of a package or of something in it."""
    return f"{name}.".startswith(f"{package}.")


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_no_subpackage_has_a_forbidden_import(package: str) -> None:
    violations: list[str] = []
    for file in sorted((ROOT / "src" / package.replace(".", "/")).rglob("*.py")):
        path = file.relative_to(ROOT / "src").with_suffix("")
        violations += [
            f"{path} imports {name}"
            for name in imported(file.read_text(encoding="utf-8"), ".".join(path.parts))
            if any(is_within(name, forbidden) for forbidden in FORBIDDEN[package])
        ]
    assert violations == []


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
def test_every_form_of_import_is_resolved(line: str, expected: str) -> None:
    assert list(imported(line, "ml_architect.runs.table")) == [expected]


def test_a_package_resolves_relative_names_within_itself() -> None:
    assert list(imported("from .run import Run", "ml_architect.runs.__init__")) == [
        "ml_architect.runs.run.Run"
    ]
