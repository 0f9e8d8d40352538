"""A check: a rule with the function that finds where it is broken."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ..entries import Entry
from ..findings import Finding, Place, Rule
from ..project import Project
from ..source import Function, Module, called


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


OPTIONS = re.compile(
    r"^(add_argument|parse_args|parse_known_args|option|Typer|Fire|HfArgumentParser|LightningCLI"
    r"|hydra|safe_load|full_load|from_yaml|get_config)$|^DEFINE_"
)
TRIES = re.compile(
    r"(^|[_-])(find_?lr|lr_?find(er)?|lr_?range\w*|sweep|search(ing)?|tun(e|ing)|self_?test)[_.-]"
)
GAMES = {"gym", "gymnasium", "gym3", "pettingzoo", "dm_env", "bsuite", "gymnax", "atari_py"}


def takes_options(entry: Entry) -> bool:
    """Whether a program is meant to be run by others: it has options or reads a configuration."""
    return any(reads_options(module) for module in entry.closure)


@lru_cache(maxsize=100_000)
def reads_options(module: Module) -> bool:
    """Whether a file reads options of the command line, or a configuration file."""
    if any(each.dotted in ("tyro", "hydra") for each in module.imports.values()):
        return True
    if any(module.dotted(each) == "sys.argv" for each in module.all(ast.Attribute)):
        return True
    calls = module.all(ast.Call)
    readers = ("yaml.load", "tomllib.load", "omegaconf.OmegaConf.load")
    if any(module.dotted(call.func) in readers for call in calls):
        return True
    return any(OPTIONS.search(called(call)) for call in calls)


def is_trial(entry: Entry) -> bool:
    """Whether a program looks for settings, so that its weights and its luck don't matter."""
    return bool(TRIES.search(entry.module.path.rpartition("/")[2].lower()))


def plays_games(entry: Entry) -> bool:
    """Whether an agent learns in an environment: many such programs show how it is done."""
    return any(
        each.dotted.partition(".")[0] in GAMES
        for module in entry.closure
        for each in module.imports.values()
    )


def is_optimizing_inputs(entry: Entry) -> bool:
    """Whether what is optimized is an input, as in style transfer: the picture is what is kept."""
    made = [
        call.args[0]
        for function in entry.reached
        for call in function.all(ast.Call)
        if function.module.dotted(call.func).startswith("torch.optim.")
        and "lr_scheduler" not in function.module.dotted(call.func)
        and call.args
    ]
    return bool(made) and all(is_list_of_inputs(each) for each in made)


def is_list_of_inputs(expr: ast.expr) -> bool:
    """Whether it is `[latent] + noises`: neither groups of parameters nor a model's."""
    if isinstance(expr, ast.BinOp):
        return is_list_of_inputs(expr.left)
    inputs = (ast.Name, ast.Attribute)
    return isinstance(expr, ast.List) and all(isinstance(each, inputs) for each in expr.elts)
