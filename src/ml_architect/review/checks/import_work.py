"""Checks of what a file does when it is imported, and of paths that exist on one machine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..findings import Finding, count
from ..project import Project
from ..source import Function, Module, called
from .check import finding

WORK = {
    "parse_args", "parse_known_args", "read_csv", "read_parquet", "read_pickle", "read_json",
    "read_excel", "load_dataset", "urlretrieve", "from_pretrained", "loadtxt", "genfromtxt",
    "backward", "fit_transform", "train_test_split",
}  # fmt: skip
WORK_BY_NAME = {
    "torch.load", "numpy.load", "requests.get", "urllib.request.urlopen", "torch.hub.load",
    "joblib.load",
}  # fmt: skip


def works_at_import(project: Project) -> Iterator[Finding]:
    """Work outside of functions in a file that another file imports."""
    importers: dict[Module, list[str]] = {}
    for module in project.modules:
        if not module.is_notebook:
            for other in project.resolver.edges(module):
                if imports_for_real(project, module, other):
                    importers.setdefault(other, []).append(module.path)
    for module in project.modules:
        if module not in importers or module.is_notebook:
            continue
        script = module.script
        found: list[ast.AST] = [
            call
            for call in script.all(ast.Call)
            if (
                called(call) in WORK
                or module.dotted(call.func) in WORK_BY_NAME
                or trains(project, script, call)
            )
            and not is_postponed(script, call)
        ]
        if found:
            by = importers[module]
            yield finding(
                "ML115",
                script,
                found,
                "importing this file runs "
                f"`{called(found[0]) if isinstance(found[0], ast.Call) else ''}`",
                f"imported by {by[0]}" + (f" and {len(by) - 1} more" if len(by) > 1 else ""),
            )


def imports_for_real(project: Project, module: Module, other: Module) -> bool:
    """Whether an import runs with the file, and isn't one for type checkers."""
    for node in module.import_nodes:
        around = module.ancestors(node)
        if any(
            isinstance(each, ast.If) and "TYPE_CHECKING" in ast.dump(each.test) for each in around
        ):
            continue
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.Import):
            locations = [project.resolver.locate(module, 0, name) for name in names]
        else:
            base = project.resolver.locate(module, node.level, node.module or "")
            locations = [
                base,
                *(f"{base}/{name}".lstrip("/") for name in names if base is not None),
            ]
        if any(location and project.resolver.at(location) is other for location in locations):
            return True
    return False


def is_postponed(script: Function, call: ast.Call) -> bool:
    """Whether a call is in a lambda or a `try`."""
    return any(isinstance(each, ast.Lambda | ast.Try) for each in script.module.ancestors(call))


def trains(project: Project, script: Function, call: ast.Call) -> bool:
    """Whether a call outside of functions is known to train."""
    return any(each.call is call for each in project.training.get(script.module, ()))


PERSON = re.compile(r"^(/home/|/Users/|[A-Za-z]:[\\/]Users[\\/])([^/\\<>{}$%\s]+)[\\/]")
PLACEHOLDERS = re.compile(
    r"^(user|username|user_?name|you|your_?\w*|me|name|runner|ubuntu|vscode|jovyan|app|work|foo|xxx+|path|shared|public|root|docker|\W+|\.\.\.)$",
    re.IGNORECASE,
)


def is_trial_run(project: Project, module: Module, node: ast.AST) -> bool:
    """Whether a node is in `if __name__ …` of a file with functions that doesn't train.

    Its author tries the functions out there; nobody else runs it.
    """
    return (
        module.function_of(node) is module.guard
        and bool(module.top)
        and module not in project.training
    )


def names_a_person(project: Project) -> Iterator[Finding]:
    """Strings that begin with somebody's home folder, once per file."""
    for module in project.modules:
        found: list[ast.AST] = []
        person = ""
        for node in module.all(ast.Constant):
            text = node.value if isinstance(node.value, str) else ""
            match = None if "\n" in text else PERSON.match(text)
            is_bare = isinstance(module.parents.get(node), ast.Expr)  # a docstring
            is_default = any(
                isinstance(each, ast.Call) and called(each) == "add_argument"
                for each in module.ancestors(node)
            )  # others pass their own
            if is_bare or is_default or is_trial_run(project, module, node):
                continue
            if match and not PLACEHOLDERS.match(match[2]):
                found.append(node)
                person = match[2]
        if found:
            yield finding(
                "ML206",
                module.function_of(found[0]),
                found,
                f"the path is in the home folder of {person}",
                f"{count(len(found), 'string')} of this file that begin with a home folder",
            )


CHECKS = {"ML115": works_at_import, "ML206": names_a_person}
