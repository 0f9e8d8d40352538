"""Which files of a folder belong to the project, and which of them are reviewed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from .source import Definition, Module

SKIPPED_FOLDERS = {"__pycache__", "node_modules", "site-packages", "venv", "env", "virtualenv"}
SKIPPED_UNLESS_PACKAGE = {
    "build", "dist", "wandb", "mlruns", "lightning_logs", "outputs", "multirun",
}  # fmt: skip
UNREVIEWED_FOLDERS = {
    "tests", "testing", "unittests", "benchmark", "benchmarks", "docs", "doc",
    "third_party", "thirdparty", "3rdparty", "vendor", "_vendor", "vendored",
}  # fmt: skip
SETTINGS = (".yaml", ".yml", ".toml", ".cfg", ".txt")
MAX_FILES = 20_000
BENCHMARK = re.compile(r"(bench(mark)?|profil(e|er|ing))[^/]*\.py$", re.IGNORECASE)
TEST_FILE = re.compile(r"(^|/)(test_[^/]*|[^/]*_test|conftest)\.py$")


def files_of(root: Path) -> Iterator[Path]:
    """Files that may matter; a folder is visited once, whatever links lead to it."""
    if root.is_file():
        yield root
        return
    seen: set[tuple[int, int]] = set()
    folders = [root]
    count = 0
    while folders:
        folder = folders.pop()
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        names = {entry.name for entry in entries}
        for entry in reversed(entries):
            path = folder / entry.name
            try:
                if entry.is_dir() and not is_skipped(path):
                    folders.append(path)
            except OSError:
                continue
        if "pyvenv.cfg" in names and folder != root:
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if path.suffix in (".py", ".ipynb", *SETTINGS) and path.is_file():
                count += 1
                if count > MAX_FILES:
                    return
                yield path


def is_skipped(folder: Path) -> bool:
    """Whether a folder holds no code of the project."""
    if folder.name.startswith(".") or folder.name in SKIPPED_FOLDERS:
        return True
    if folder.name.endswith((".egg-info", ".dist-info")) or (folder / "pyvenv.cfg").exists():
        return True
    return folder.name in SKIPPED_UNLESS_PACKAGE and not (folder / "__init__.py").exists()


def is_reviewed(module: Module) -> bool:
    """Whether a file is the project's own code, and no test, benchmark or copy of another project.

    `test_*.py` alone says nothing: evaluation scripts have such names too. Its content decides.
    """
    folders = module.path.lower().split("/")[:-1]
    if UNREVIEWED_FOLDERS.intersection(folders) or BENCHMARK.search(module.path):
        return False
    if module.path.endswith("conftest.py"):
        return False
    if not (TEST_FILE.search(module.path) or "test" in folders):
        return True
    tests = {"pytest", "unittest", "absl.testing"}
    if any(each.dotted.partition(".")[0] in tests for each in module.imports.values()):
        return False
    if any(each.name.startswith("Test") for each in module.classes):
        return False
    functions = (each for each in module.functions if isinstance(each.node, Definition))
    return not any(each.name.startswith("test_") for each in functions)
