"""What the checks share: how a finding is made, and what kind of program an entry point is."""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from ..entries import Entry
from ..findings import Finding, count
from ..rules import RULES
from ..source import Function, Module, called


def finding(
    id: str,  # noqa: A002 - of the rule
    function: Function,
    nodes: list[ast.AST] | ast.AST,
    message: str,
    evidence: str,
) -> Finding:
    """A finding in one function, at one or more places."""
    listed = nodes if isinstance(nodes, list) else [nodes]
    places = tuple(sorted({function.module.place(node) for node in listed}))
    return Finding(RULES[id], places, message, evidence, function.qualified)


def searched(entry: Entry) -> str:
    """What was read to say that something is never done, in words."""
    training = entry.loops or entry.training
    places = sorted({each.function.module.place(each.call) for each in training})
    text = f"trains at {', '.join(map(str, places[:2]))}; " if places else ""
    files = count(len(entry.closure), "file")
    text += f"searched {entry.module.path} and what it imports ({files})"
    if entry.unfollowed:
        text += f"; not followed: the import by a computed name at {entry.unfollowed[0]}"
    return text


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
    """Whether a program searches for settings, so its weights and its seed matter less."""
    return bool(TRIES.search(entry.module.path.rpartition("/")[2].lower()))


def plays_games(entry: Entry) -> bool:
    """Whether an agent learns in an environment: many such programs are demonstrations."""
    return any(
        each.dotted.partition(".")[0] in GAMES
        for module in entry.closure
        for each in module.imports.values()
    )


def is_optimizing_inputs(entry: Entry) -> bool:
    """Whether what is optimized is an input, as in style transfer: its result is an image."""
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
