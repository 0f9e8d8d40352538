"""A check: a rule with the function that finds where it is broken."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..entries import Entry
from ..findings import Finding, Place, Rule
from ..project import Project
from ..source import Function


@dataclass(frozen=True)
class Check:
    """A rule and its search."""

    rule: Rule
    run: Callable[[Project], Iterator[Finding]]


def finding(
    rule: Rule, function: Function, nodes: list[ast.AST] | ast.AST, message: str, evidence: str
) -> Finding:
    """A finding in one function, at one or more places."""
    listed = nodes if isinstance(nodes, list) else [nodes]
    places = tuple(sorted({function.module.place(node) for node in listed}))
    return Finding(rule, places, message, evidence, function.qualified)


def searched(entry: Entry) -> str:
    """What was read to say that something is never done, in words."""
    count = len(entry.closure)
    training = entry.loops or entry.training
    at = ", ".join(f"{place.path}:{place.line}" for place in training_places(entry)[:2])
    files = "1 file" if count == 1 else f"{count} files"
    text = (
        f"trains at {at}; searched {entry.module.path} and what it imports ({files})"
        if training
        else files
    )
    if entry.unfollowed:
        place = entry.unfollowed[0]
        text += f"; not followed: the import by a computed name at {place.path}:{place.line}"
    return text


def training_places(entry: Entry) -> list[Place]:
    """Where an entry point trains."""
    training = entry.loops or entry.training
    return sorted({each.function.module.place(each.call) for each in training})
