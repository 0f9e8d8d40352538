"""A project as a review sees it: its files, entry points, settings, and what could not be read."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from .discovery import files_of, is_reviewed
from .entries import Entry, find_entries
from .metadata import Metadata, add_file, add_setup_py
from .notebook import read_notebook
from .resolve import Resolver
from .source import Function, Module, UnreadableError, read_source
from .training import Training, find_training


@dataclass(frozen=True)
class Unread:
    """A file that could not be parsed, and why, in a few words."""

    path: str
    reason: str


class Project:
    """What was read; nothing of it was imported or run."""

    def __init__(
        self, root: Path, modules: list[Module], unread: list[Unread], metadata: Metadata
    ) -> None:
        self.root = root
        self.all_modules = modules
        self.unread = unread
        self.metadata = metadata
        self.resolver = Resolver(modules, metadata)

    @cached_property
    def modules(self) -> list[Module]:
        """Files that are reviewed."""
        return [module for module in self.all_modules if module.is_reviewed]

    @property
    def skipped(self) -> list[str]:
        """Paths of tests, benchmarks and others' code: read to follow imports, not reviewed."""
        return [module.path for module in self.all_modules if not module.is_reviewed]

    @cached_property
    def training(self) -> dict[Module, list[Training]]:
        """Calls that train, by file."""
        found = {module: find_training(self.resolver, module) for module in self.modules}
        return {module: calls for module, calls in found.items() if calls}

    @cached_property
    def entries(self) -> list[Entry]:
        """Entry points."""
        return find_entries(self.resolver, self.training)

    @cached_property
    def training_entries(self) -> list[Entry]:
        """Entry points that train."""
        return [entry for entry in self.entries if entry.training]

    @cached_property
    def unreached(self) -> list[Training]:
        """Training code that no entry point was found to reach."""
        reached = {id(each) for entry in self.entries for each in entry.training}
        functions = {function for entry in self.entries for function in entry.reached}
        return [
            each
            for module, calls in self.training.items()
            for each in calls
            if id(each) not in reached and each.function not in functions and not module.is_notebook
        ]

    @cached_property
    def functions(self) -> list[Function]:
        """Functions of all files that are reviewed."""
        return [function for module in self.modules for function in module.functions]

    @cached_property
    def lines(self) -> int:
        """Lines of the files that are reviewed."""
        return sum(module.text.count("\n") for module in self.modules)


def read_project(root: Path) -> Project:
    """Read a folder, or one file."""
    modules: list[Module] = []
    unread: list[Unread] = []
    metadata = Metadata()
    base = root.parent if root.is_file() else root
    for file in files_of(root):
        path = file.relative_to(base).as_posix()
        try:
            data = file.read_bytes()
        except OSError as error:
            unread.append(Unread(path, error.strerror or type(error).__name__))
            continue
        if file.suffix not in (".py", ".ipynb"):
            add_file(metadata, path, data)
            continue
        try:
            read = read_notebook if file.suffix == ".ipynb" else read_source
            module = read(path, data)
        except UnreadableError as error:
            unread.append(Unread(path, str(error)))
            continue
        module.is_reviewed = is_reviewed(module)
        if module.left_out and module.is_reviewed:
            unread.append(Unread(path, module.left_out))
        modules.append(module)
        if path.rpartition("/")[2] == "setup.py":
            strings = [
                each.value for each in module.all(ast.Constant) if isinstance(each.value, str)
            ]
            add_setup_py(metadata, path, strings)
    return Project(root, modules, unread, metadata)
