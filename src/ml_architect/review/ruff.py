"""Runs ruff for the general faults that it already finds well.

Its result is checked, since it says "All checks passed!" of a file that doesn't exist, and stops at
a code that its version doesn't have.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .findings import Finding, Place, Rule
from .ruff_filters import is_fault
from .rules import RULES as ALL_RULES
from .source import Module

# -P: a file ruff.py in the current folder isn't ours.
COMMAND = (sys.executable, "-P", "-m", "ruff")
INSTALL = "pip install 'ml-architect[review]'"
RULES = {rule.ruff: rule for rule in ALL_RULES.values() if rule.ruff}
"""By ruff's code."""
NEWEST_PYTHON = "py314"  # syntax errors are reported by our parser


def check(
    root: Path, modules: Mapping[str, Module], rules: Iterable[Rule]
) -> tuple[list[Finding], list[str]]:
    """Let ruff look for some of our rules.

    Args:
        root: the project's folder.
        modules: by path below it, with forward slashes.
        rules: those that are wanted.

    Returns:
        What was found, and one line for each thing that couldn't be checked.
    """
    wanted = {rule.id for rule in rules}
    codes = {code for code, rule in RULES.items() if rule.id in wanted}
    files = {str(root / path): path for path in modules if _can_be_listed(root / path)}
    unlisted = [
        f"{path}: ruff's rules not checked: ruff can't be given its name"
        for path in sorted(modules.keys() - set(files.values()))
    ]
    if not codes or not files:
        return [], unlisted if codes else []
    problems: list[str] = []
    # In an empty folder, since a relative PYTHONPATH would let Python import the project's files.
    with tempfile.TemporaryDirectory(prefix="ml-architect-") as folder:
        arguments = Path(folder) / "files.txt"  # a command line may be too short for all
        arguments.write_text("".join(f"{file}\n" for file in files), encoding="utf-8")
        options = ["--isolated", "--no-cache", "--exit-zero", "--output-format", "json"]
        options += ["--target-version", NEWEST_PYTHON, f"@{arguments}", "--select"]
        done = _run(["check", *options, ",".join(sorted(codes))], folder)
        if done is None or done.returncode != 0:  # it may lack one of the rules
            listed = _run(["rule", "--all", "--output-format", "json"], folder)
            if listed is None or listed.returncode != 0:
                ids = ", ".join(sorted(RULES[code].id for code in codes))
                return [], [f"{ids}: not checked, since ruff isn't installed: {INSTALL}"]
            known = {entry["code"] for entry in json.loads(listed.stdout)}
            problems = [
                f"{RULES[code].id}: not checked, since this ruff has no rule {code}: {INSTALL}"
                for code in sorted(codes - known)
            ]
            done = _run(["check", *options, ",".join(sorted(codes & known))], folder)
    try:
        results: list[dict[str, Any]] = json.loads(done.stdout if done else "")
    except ValueError:
        reason = (done.stderr.strip().splitlines() if done else []) or ["no message"]
        return [], [*problems, f"ruff failed, so its rules weren't checked: {reason[-1]}"]
    problems += unlisted
    problems += _unread(results, done.stderr if done else "", files)
    return _findings(results, files, modules), problems


def _can_be_listed(file: Path) -> bool:
    """Whether a path fits on one line of UTF-8."""
    try:
        return b"\n" not in str(file).encode()
    except UnicodeEncodeError:
        return False


def _run(arguments: list[str], folder: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError:
        return None


def _findings(
    results: list[dict[str, Any]], files: Mapping[str, str], modules: Mapping[str, Module]
) -> list[Finding]:
    """One finding for each rule, message and enclosing function, with its places."""
    causes: dict[tuple[str, str, str, str], list[Place]] = {}
    # `except: pass` is one fault, though ruff has two rules for it.
    bare = {_position(entry) for entry in results if entry["code"] == "E722"}
    for entry in results:
        code, path = entry["code"], files.get(entry["filename"])
        if code not in RULES or path is None:  # see _unread
            continue
        if code == "S110" and _position(entry) in bare:
            continue
        line, column = entry["location"]["row"], entry["location"]["column"]
        if not is_fault(code, modules[path], line, column):
            continue
        # A name that isn't imported is one fault, wherever it is used.
        scope = "" if code == "F821" else enclosing(modules[path].tree, line)
        place = Place(path, line, column)
        causes.setdefault((code, path, scope, entry["message"]), []).append(place)
    return [
        Finding(
            rule=RULES[code],
            places=tuple(sorted(places)),
            message=_message(code, message),
            evidence=f"ruff's {code} in {path}",
            scope=scope,
        )
        for (code, path, scope, message), places in causes.items()
    ]


def _unread(results: list[dict[str, Any]], errors: str, files: Mapping[str, str]) -> list[str]:
    """Files that Python can parse and ruff can't."""
    reasons = {
        entry["filename"]: entry["message"].splitlines()[0]
        for entry in results
        if entry["code"] not in RULES
    }
    for line in errors.splitlines():  # such as a file that declares Latin-1
        file, found, reason = line.partition("Failed to lint ")[2].partition(".py: ")
        if found:
            reasons[f"{file}.py"] = reason
    return [
        f"{files[file]}: ruff's rules not checked: {reason}"
        for file, reason in sorted(reasons.items())
        if file in files
    ]


def _position(entry: Mapping[str, Any]) -> tuple[str, int]:
    return entry["filename"], entry["location"]["row"]


def _message(code: str, message: str) -> str:
    """Ours, with the name that ruff's message has if it is about one."""
    if code == "F821":
        return message.partition(". ")[0]
    return message if code == "B023" else RULES[code].title


def enclosing(tree: ast.Module, line: int) -> str:
    """The qualified name of the function or class that contains a line; empty at module level."""
    names: list[str] = []
    body: list[ast.AST] = list(tree.body)
    while body:
        node = body.pop()
        first, last = getattr(node, "lineno", None), getattr(node, "end_lineno", None)
        if first is None or last is None:
            body += ast.iter_child_nodes(node)  # such as a `match` case
        elif first <= line <= last:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.append(node.name)
            body = list(ast.iter_child_nodes(node))
    return ".".join(names)
