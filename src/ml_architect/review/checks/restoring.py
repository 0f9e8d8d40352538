"""Checks of how training resumes from a checkpoint."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ..entries import Entry
from ..findings import Finding, count
from ..project import Project
from ..source import Function, Module, called, is_constant, keyword, path_of, receiver, text_of
from ..torch_code import Save, in_order, kind_of_state, names_in, saves, trace
from .check import finding, searched


@dataclass(frozen=True)
class Load:
    """A call of torch.load, and the keys that are read from what it returns."""

    function: Function
    call: ast.Call
    keys: frozenset[str]


@lru_cache(maxsize=4)
def all_loads(project: Project) -> tuple[Load, ...]:
    """Checkpoints that the project reads, with their keys."""
    found: list[Load] = []
    for function in project.functions:
        for call in function.all(ast.Call):
            is_fabric = called(call) == "load" and "fabric" in receiver(call).lower()
            if is_fabric or function.module.dotted(call.func) == "torch.load":
                found.append(Load(function, call, frozenset(keys_of(project, function, call))))
    return tuple(found)


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


PROGRESS_KEYS = re.compile(r"epoch|step|(?<!cr)iter|(^|[._])it(rs?)?($|[._])", re.IGNORECASE)


def never_restored(project: Project) -> Iterator[Finding]:
    """State under a key that resuming doesn't read, while it reads the epoch."""
    seen: set[ast.Call] = set()
    for entry in project.training_entries:
        mine = [
            each
            for each in saves(project)
            if each.function in entry.reached and each.call not in seen
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
                    "ML102",
                    save.function,
                    save.call,
                    f"the state of the {' and the '.join(dict.fromkeys(lost))} is saved, but "
                    "resuming never loads it",
                    f"resumes at {at}, reading "
                    f"{', '.join(sorted(load.keys & saved))}; "
                    f"no load_state_dict for it in {count(len(entry.closure), 'file')}",
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
    if any("safe_globals" in name for function in project.functions for name in names_in(function)):
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
                "ML103",
                save.function,
                save.call,
                f"torch.load rejects this checkpoint: {'; '.join(dict.fromkeys(refused))}",
                f"read at {at} without weights_only=False or safe_globals; "
                f"torch 2.6 or later is allowed ({project.metadata.torch_text})",
            )


def are_together(project: Project, load: Load, save: Save) -> bool:
    """Whether a file reads the checkpoints of another: one folder, or imports between them."""
    mine, other = load.function.module, save.function.module
    if mine.path.rpartition("/")[0] == other.path.rpartition("/")[0]:
        return True
    return mine in project.resolver.closure(other) or other in project.resolver.closure(mine)


def is_bare(call: ast.Call) -> bool:
    """Whether torch.load reads tensors and plain values only, as far as its arguments say."""
    if keyword(call, "pickle_module") is not None or any(
        each.arg is None for each in call.keywords
    ):
        return False
    value = keyword(call, "weights_only")
    return value is None or is_constant(value, True)


NUMPY_NUMBERS = re.compile(
    r"^numpy\.(mean|max|min|sum|median|std|average|float64|float32|int64|percentile)$"
)


def refused_value(project: Project, function: Function, value: ast.expr) -> str:
    """What torch.load rejects in a value, or ""."""
    if not isinstance(value, ast.Name | ast.Attribute | ast.Call):
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
            "optimizer" in each.kinds(project) and each.function in entry.reached
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
            "ML104",
            function,
            call,
            f"`{receiver(call)}` is stepped, but its state isn't in the checkpoint",
            "the optimizer's state is saved and loaded; "
            + searched(entry)
            + "; no state_dict() of a scheduler",
        )


def counts_itself(entry: Entry, function: Function, call: ast.Call) -> bool:
    """Whether a scheduler gets its position: `step(epoch)`, `last_epoch=…`."""
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


CHECKS = {"ML102": never_restored, "ML103": refuses_own_checkpoint, "ML104": forgets_scheduler}
