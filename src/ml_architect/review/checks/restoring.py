"""Checks of how training goes on from a checkpoint."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ..entries import Entry
from ..findings import Category, Finding, Rule, Stage
from ..project import Project
from ..source import Function, Module, called, keyword, path_of, receiver
from ..torch_code import Save, is_in, kind_of_state, saves, text_of, trace
from .check import Check, finding, searched
from .examples import EPOCHS, SEEDED

SAVE = """\
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
    torch.save(state, f"/tmp/checkpoint_{epoch % 2}.pt")
"""
LOAD_MODEL = """
start = 0
if Path("/tmp/checkpoint_0.pt").exists():
    checkpoint = torch.load("/tmp/checkpoint_0.pt")
    model.load_state_dict(checkpoint["model"])
    start = checkpoint["epoch"] + 1
"""
LOAD_BOTH = LOAD_MODEL.replace(
    "    start", '    optimizer.load_state_dict(checkpoint["optimizer"])\n    start', 1
)
WITH_PATH = SEEDED.replace("import torch\n", "from pathlib import Path\n\nimport torch\n", 1)
LOOP = EPOCHS.replace("range(100)", "range(start, 100)")
NOT_RESTORED = Rule(
    id="ML102",
    title="State is saved, but never restored",
    category=Category.LOST_WORK,
    stage=Stage.PROTOTYPE,
    why="The checkpoint holds the state, and resuming leaves it there: the run goes on with a "
    "fresh "
    "optimizer, and its loss differs from that of a run that wasn't stopped.",
    source="https://pytorch.org/tutorials/beginner/saving_loading_models.html#saving-loading-a-general-checkpoint-for-inference-and-or-resuming-training",
    fix="Call `load_state_dict` for each thing whose state is saved.",
    verify="A run that is stopped and resumed has the same loss at the same step as one that "
    "isn't.",
    bad=WITH_PATH + LOAD_MODEL + LOOP + SAVE,
    good=WITH_PATH + LOAD_BOTH + LOOP + SAVE,
    lines_to_fix=1,
)
REFUSED = Rule(
    id="ML103",
    title="The checkpoint holds what its own loader refuses",
    category=Category.LOST_WORK,
    stage=Stage.PROTOTYPE,
    why="Since torch 2.6 `torch.load` reads tensors and plain values only, by default. A "
    "Namespace or a "
    "NumPy number in the checkpoint makes it raise: the run can't be resumed.",
    source="https://pytorch.org/docs/stable/notes/serialization.html#weights-only",
    fix="Save plain values: `vars(args)`, `float(score)`. For old files, allow the type with "
    "`torch.serialization.safe_globals`.",
    verify="`torch.load(path, weights_only=True)` works on a new checkpoint.",
    bad="""\
import argparse

import torch
from torch import nn

args = argparse.ArgumentParser().parse_args([])
model = nn.Linear(4, 1)
torch.save({"model": model.state_dict(), "args": args}, "/tmp/checkpoint.pt")
try:
    model.load_state_dict(torch.load("/tmp/checkpoint.pt")["model"])
except Exception as error:
    print(type(error).__name__)
""",
    good="""\
import argparse

import torch
from torch import nn

args = argparse.ArgumentParser().parse_args([])
model = nn.Linear(4, 1)
torch.save({"model": model.state_dict(), "args": vars(args)}, "/tmp/checkpoint.pt")
model.load_state_dict(torch.load("/tmp/checkpoint.pt")["model"])
""",
    lines_to_fix=1,
    is_default=False,
)
SCHEDULE = """
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30)
"""
STEP = "    scheduler.step()\n"
NO_SCHEDULER = Rule(
    id="ML104",
    title="The schedule starts anew when training resumes",
    category=Category.LOST_WORK,
    stage=Stage.PROTOTYPE,
    why="The optimizer is restored and the scheduler isn't: it counts from 0, so the learning "
    "rate rises "
    "again, or decays too late.",
    source="https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate",
    fix="Save `scheduler.state_dict()` with the optimizer, and load both.",
    verify="The learning rate that is logged after resuming continues the one before.",
    bad=WITH_PATH + SCHEDULE + LOAD_BOTH + LOOP + STEP + SAVE,
    good=WITH_PATH
    + SCHEDULE
    + LOAD_BOTH.rstrip("\n").replace(
        "    start =", '    scheduler.load_state_dict(checkpoint["scheduler"])\n    start =', 1
    )
    + "\n"
    + LOOP
    + STEP
    + SAVE.replace(
        '"epoch": epoch}', '"epoch": epoch}\n    state["scheduler"] = scheduler.state_dict()'
    ),
    lines_to_fix=2,
    is_default=False,
)


@dataclass(frozen=True)
class Load:
    """A call of torch.load, and the keys that are read from what it returns."""

    function: Function
    call: ast.Call
    keys: frozenset[str]


def loads(project: Project, functions: list[Function]) -> list[Load]:
    """Checkpoints that are read, with their keys."""
    found: list[Load] = []
    for function in functions:
        for call in function.all(ast.Call):
            holder = receiver(call).lower()
            is_load = function.module.dotted(call.func) == "torch.load" or (
                called(call) == "load" and "fabric" in holder
            )
            if is_load:
                found.append(Load(function, call, frozenset(keys_of(project, function, call))))
    return found


def keys_of(project: Project, function: Function, call: ast.Call) -> set[str]:
    """Keys read from what a call returns: beside it, and by callers if the function returns it."""
    module = function.module
    outer = module.parents.get(call)
    if isinstance(outer, ast.Subscript):
        return {text_of(outer.slice)} - {""}
    names = [name for name, values in function.values.items() if call in values]
    found: set[str] = set()
    for name in names:
        found |= keys_read(function, name)
    returned = {path_of(each.value) for each in function.all(ast.Return) if each.value} - {""}
    if returned & set(names) or isinstance(outer, ast.Return):
        for caller, inner in project.resolver.callers(function):
            for name, values in caller.values.items():
                if inner in values:
                    found |= keys_read(caller, name)
    # `self.restore(checkpoint)`
    for inner in function.all(ast.Call):
        for index, each in enumerate(inner.args):
            if path_of(each) in names:
                for helper in project.resolver.callees(function, inner):
                    parameters = [name for name in helper.parameters if name != "self"]
                    if index < len(parameters):
                        found |= keys_read(helper, parameters[index])
    return found


def keys_read(function: Function, name: str) -> set[str]:
    """Constant keys read from a name: `x["k"]`, `x.get("k")`, `x.pop("k")`, `"k" in x`, `x.k`."""
    found: set[str] = set()
    for each in function.deep():
        for node in each.all(ast.Subscript):
            if path_of(node.value) == name and isinstance(node.ctx, ast.Load):
                found.add(text_of(node.slice))
        for call in each.all(ast.Call):
            if receiver(call) == name and called(call) in ("get", "pop") and call.args:
                found.add(text_of(call.args[0]))
    return found - {""}


@lru_cache(maxsize=4)
def all_loads(project: Project) -> tuple[Load, ...]:
    """Checkpoints that the project reads."""
    return tuple(loads(project, project.functions))


PROGRESS_KEYS = re.compile(r"epoch|step|iter", re.IGNORECASE)


def never_restored(project: Project) -> Iterator[Finding]:
    """State under a key that resuming doesn't read, while it reads the epoch."""
    seen: set[ast.Call] = set()
    for entry in project.training_entries:
        mine = [
            each for each in saves(project) if is_in(entry, each.function) and each.call not in seen
        ]
        if not entry.loops or not mine:
            continue
        reading = [each for each in all_loads(project) if each.function in entry.reached]
        keys = {key for each in reading for key in each.keys}
        if not keys:
            continue
        texts = {text for module in entry.closure for text in strings_read(module)}
        restored = restored_kinds(project, entry)
        for save in mine:
            saved = {key for _, key, _ in save.entries if key}
            if not (saved & keys and any(PROGRESS_KEYS.search(key) for key in saved & keys)):
                continue
            lost: list[str] = []
            for function, key, value in save.entries:
                holder = (
                    receiver(value)
                    if isinstance(value, ast.Call) and called(value) == "state_dict"
                    else ""
                )
                kind = kind_of_state(project, function, holder) if holder else ""
                if (
                    kind
                    and kind not in restored
                    and "any" not in restored
                    and key not in texts
                    and key not in keys
                ):
                    lost.append(f"{kind} (key {key!r})")
            if lost:
                seen.add(save.call)
                load = next(each for each in reading if each.keys & saved)
                at = load.function.module.place(load.call)
                yield finding(
                    NOT_RESTORED,
                    save.function,
                    save.call,
                    f"the state of the {' and the '.join(lost)} is saved, but resuming never "
                    "loads it",
                    f"resumes at {at.path}:{at.line}, reading "
                    f"{', '.join(sorted(load.keys & saved))}; "
                    f"no load_state_dict for it in {len(entry.closure)} file(s)",
                )


@lru_cache(maxsize=100_000)
def strings_read(module: Module) -> frozenset[str]:
    """Keys by which anything is read in a file."""
    found: set[str] = set()
    for node in module.all(ast.Subscript):
        if isinstance(node.ctx, ast.Load):
            found.add(text_of(node.slice))
    for call in module.all(ast.Call):
        if called(call) in ("get", "pop") and call.args:
            found.add(text_of(call.args[0]))
    return frozenset(found)


def restored_kinds(project: Project, entry: Entry) -> set[str]:
    """Kinds of state that are loaded; `any` where the receiver isn't a known one."""
    return {kind for module in entry.closure for kind in restored_in(project, module)}


@lru_cache(maxsize=100_000)
def restored_in(project: Project, module: Module) -> frozenset[str]:
    """Kinds of state that a file loads."""
    return frozenset(kind for each in module.functions for kind in restored_by(project, each))


def restored_by(project: Project, function: Function) -> set[str]:
    """Kinds of state that a function loads."""
    found: set[str] = set()
    for call in function.all(ast.Call):
        if called(call) in ("load_state", "load_checkpoint") and re.search(
            r"accelerator|fabric|engine", receiver(call)
        ):
            found.add("any")
        if called(call) not in ("load_state_dict", "set_optimizer_state_dict", "set_state_dict"):
            continue
        holder = receiver(call)
        found.add(
            kind_of_state(project, function, holder)
            or ("any" if is_loop_name(function, holder) else "model")
        )
    return found


def is_loop_name(function: Function, holder: str) -> bool:
    """Whether a name runs over several objects: `for each in state: each.load_state_dict(…)`."""
    for loop in function.all(ast.For):
        if holder in {path_of(each) for each in ast.walk(loop.target)}:
            return True
    return not holder


def refuses_own_checkpoint(project: Project) -> Iterator[Finding]:
    """A Namespace or NumPy number in a checkpoint that a bare torch.load of the project reads."""
    if not project.metadata.torch_may_refuse:
        return
    if any(
        "safe_globals" in name for function in project.functions for name in mentioned(function)
    ):
        return
    bare = [each for each in all_loads(project) if is_bare(each.call)]
    for save in saves(project):
        saved = {key for _, key, _ in save.entries if key}
        readers = [each for each in bare if each.keys & saved and are_together(project, each, save)]
        own = [each for each in readers if each.function.module is save.function.module]
        readers = own or readers
        if not readers:
            continue
        refused = [
            f"`{key}` is {what}"
            for function, key, value in save.entries
            if (what := refused_value(project, function, value))
        ]
        if refused:
            at = readers[0].function.module.place(readers[0].call)
            yield finding(
                REFUSED,
                save.function,
                save.call,
                f"torch.load refuses this checkpoint: {'; '.join(dict.fromkeys(refused))}",
                f"read at {at.path}:{at.line} without weights_only=False or safe_globals; "
                f"torch 2.6 or later is allowed ({project.metadata.torch_text})",
            )


def are_together(project: Project, load: Load, save: Save) -> bool:
    """Whether a file reads the checkpoints of another: one folder, or imports between them."""
    mine, other = load.function.module, save.function.module
    if mine.path.rpartition("/")[0] == other.path.rpartition("/")[0]:
        return True
    return mine in project.resolver.closure(other) or other in project.resolver.closure(mine)


def mentioned(function: Function) -> set[str]:
    """Names and attributes of a function."""
    return {each.attr for each in function.all(ast.Attribute)} | function.names


def is_bare(call: ast.Call) -> bool:
    """Whether torch.load isn't told what to allow, or is told to allow nothing."""
    if keyword(call, "pickle_module") is not None or any(
        each.arg is None for each in call.keywords
    ):
        return False
    value = keyword(call, "weights_only")
    return value is None or (isinstance(value, ast.Constant) and value.value is True)


NUMPY_NUMBERS = re.compile(
    r"^numpy\.(mean|max|min|sum|median|std|average|float64|float32|int64|percentile)$"
)


def refused_value(project: Project, function: Function, value: ast.expr) -> str:
    """What of a value torch.load refuses, or ""."""
    if not isinstance(value, ast.Name | ast.Attribute):
        return ""
    for where, each in trace(project, function, value):
        if isinstance(each, ast.Call):
            name = where.module.dotted(each.func)
            if called(each) == "parse_args" or name.endswith("argparse.Namespace"):
                return "an argparse.Namespace"
            if NUMPY_NUMBERS.match(name):
                is_array = len(each.args) > 1 or keyword(each, "axis") is not None
                return f"a NumPy {'array' if is_array else 'number'} ({name})"
            for helper in project.resolver.callees(where, each):
                if any(
                    parses(project, helper, item.value)
                    for item in helper.all(ast.Return)
                    if item.value
                ):
                    return "an argparse.Namespace"
                if kind := returned_number(project, helper, where, value, each):
                    return kind
    return ""


def parses(project: Project, function: Function, value: ast.expr) -> bool:
    """Whether a value is the result of an argument parser."""
    return any(
        isinstance(each, ast.Call) and called(each) == "parse_args"
        for _, each in trace(project, function, value, 2)
    )


def returned_number(
    project: Project, helper: Function, where: Function, value: ast.expr, call: ast.Call
) -> str:
    """A NumPy number that a function returns, in the position that the name is unpacked from."""
    position = None
    for assign in where.all(ast.Assign):
        if assign.value is call and isinstance(assign.targets[0], ast.Tuple):
            names = [path_of(each) for each in assign.targets[0].elts]
            position = names.index(path_of(value)) if path_of(value) in names else None
    for returned in helper.all(ast.Return):
        each = returned.value
        if isinstance(each, ast.Tuple):
            each = (
                each.elts[position] if position is not None and position < len(each.elts) else None
            )
        for _, inner in trace(project, helper, each, 2) if each else ():
            if isinstance(inner, ast.Call) and NUMPY_NUMBERS.match(
                name := helper.module.dotted(inner.func)
            ):
                return f"a NumPy number ({name} in {helper.name})"
    return ""


def forgets_scheduler(project: Project) -> Iterator[Finding]:
    """A scheduler that is stepped and not saved, where the optimizer is saved and restored."""
    for entry in project.training_entries:
        if not entry.loops or not any(
            "optimizer" in each.kinds(project) and is_in(entry, each.function)
            for each in saves(project)
        ):
            continue
        if any(
            "scheduler" in each.kinds(project)
            for each in saves(project)
            if each.function.module in entry.files
        ):
            continue
        restored = restored_kinds(project, entry)
        if "any" in restored or "scheduler" in restored:
            continue
        if not any("optimizer" in restored_by(project, each) for each in entry.reached):
            continue  # it doesn't resume, though another program of the project does
        steps = [
            (function, call)
            for function in in_order(entry.reached)
            for call in function.all(ast.Call)
            if called(call) == "step"
            and kind_of_state(project, function, receiver(call)) == "scheduler"
        ]
        if not steps or any(counts_itself(entry, function, call) for function, call in steps):
            continue
        function, call = steps[0]
        yield finding(
            NO_SCHEDULER,
            function,
            call,
            f"`{receiver(call)}` is stepped, but its state isn't in the checkpoint",
            "the optimizer's state is saved and loaded; "
            + searched(entry)
            + "; no state_dict() of a scheduler",
        )


def in_order(functions: set[Function]) -> list[Function]:
    """Functions in the order of the source."""
    return sorted(functions, key=lambda each: (each.module.path, getattr(each.node, "lineno", 0)))


def counts_itself(entry: Entry, function: Function, call: ast.Call) -> bool:
    """Whether a scheduler is told where it is: `step(epoch)`, `last_epoch=…`."""
    if any(PROGRESS_KEYS.search(path_of(each)) for each in call.args):
        return True
    return any(sets_position(module) for module in entry.closure)


@lru_cache(maxsize=100_000)
def sets_position(module: Module) -> bool:
    """Whether a file keeps a scheduler's position some other way."""
    for call in module.all(ast.Call):
        if called(call) == "state_dict" and "sched" in receiver(call).lower():
            return True
        value = keyword(call, "last_epoch")
        if value is not None and not isinstance(value, ast.Constant | ast.UnaryOp):
            return True
    for node in module.all(ast.Attribute):
        if node.attr == "last_epoch" and isinstance(node.ctx, ast.Store):
            return True
    for loop in module.all(ast.For):
        only = loop.body[0] if len(loop.body) == 1 else None
        if (
            isinstance(only, ast.Expr)
            and isinstance(only.value, ast.Call)
            and called(only.value) == "step"
        ):
            return True
    return False


CHECKS = (
    Check(NOT_RESTORED, never_restored),
    Check(REFUSED, refuses_own_checkpoint),
    Check(NO_SCHEDULER, forgets_scheduler),
)
