"""Renders the template as it lies in the working tree, and loads its extensions one by one.

A folder without `.git` is rendered directly, where Copier would clone a repository each time.
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import copier

ROOT = Path(__file__).resolve().parents[1]


@functools.cache
def extension(name: str) -> Any:
    """The module of an extension, without Copier's loader and under a name of the tests' own."""
    return load(ROOT / "extensions" / f"{name}.py", f"tested_extension_{name}")


def load(file: Path, alias: str) -> Any:
    """A file as a module of that name."""
    spec = importlib.util.spec_from_file_location(alias, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module  # Pydantic looks annotations up there
    spec.loader.exec_module(module)
    return module


def copy_template(destination: Path) -> Path:
    """Copy what git tracks or would track, as it is now; return the copy."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).exists():  # git still lists a file that was deleted
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, destination / name)
    return destination


def render(template: Path, destination: Path, **answers: str) -> Path:
    """Make a project of these answers, and the defaults for the others; return its folder."""
    copier.run_copy(
        str(template),
        destination,
        data=answers,
        defaults=True,
        quiet=True,
        unsafe=True,
        settings=copier.Settings(),  # not those of whoever runs the tests
    )
    return destination
