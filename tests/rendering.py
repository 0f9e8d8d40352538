"""Renders the template as it is in the working tree, and loads its extensions one by one.

A folder without `.git` is rendered directly; Copier would clone a repository each time.
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
import jinja2
from copier._main import Worker

ROOT = Path(__file__).resolve().parents[1]

# Four fifths of the time of rendering: Copier compiles the same strings for each project anew, and
# asks git for a setting once for each file, which changes nothing where files can be executable.
compile_template, compiled = jinja2.Environment.compile, dict[Any, Any]()


def compile_once(self: jinja2.Environment, source: Any, *options: Any, **named: Any) -> Any:
    key = (source, options, *named.items(), type(self), *sorted(self.extensions))
    if key not in compiled:
        compiled[key] = compile_template(self, source, *options, **named)
    return compiled[key]


jinja2.Environment.compile = compile_once
Worker._sync_git_index_executable_bit = lambda *_: None  # type: ignore[assignment]


@functools.cache
def extension(name: str) -> Any:
    """Import an extension without Copier's loader, under a name of its own."""
    return load(ROOT / "extensions" / f"{name}.py", f"tested_extension_{name}")


def load(file: Path, name: str) -> Any:
    """Import a file as a module with this name."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Pydantic looks up annotations there
    spec.loader.exec_module(module)
    return module


def copy_template(destination: Path) -> Path:
    """Copy the files that git tracks or would track, as they are now. Returns the copy."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    paths = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, paths.decode().split("\0")):
        if (ROOT / name).exists():  # git still lists a deleted file
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, destination / name)
    return destination


# Tests of a plain copy use pytest-copie's fixtures. This is for what they can't do: choose the
# destination, pass answers as `--data` does (copie passes them as defaults), propagate exceptions,
# and render outside of pytest.
def render(template: Path, destination: Path, **answers: Any) -> Path:
    """Make a project with these answers, and defaults for the others. Returns its folder."""
    copier.run_copy(
        str(template),
        destination,
        data=answers,
        defaults=True,
        quiet=True,
        unsafe=True,
        settings=copier.Settings(),  # not the user's own
    )
    return destination
