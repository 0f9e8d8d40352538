"""What PyTorch code does: where gradients are off, what is optimized, what a checkpoint holds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from .entries import Entry
from .project import Project
from .source import (
    Class,
    Definition,
    Function,
    called,
    is_constant,
    keyword,
    path_of,
    receiver,
    text_of,
)

GUARDS = {"no_grad", "inference_mode", "set_grad_enabled"}
OPTIMIZER = re.compile(r"optim|(^|[._])opt([._\d]|$)|(^|[._])opt[A-Z]|solver", re.IGNORECASE)
SCHEDULER = re.compile(r"sched|lr_decay|annealing|warmup", re.IGNORECASE)
SCALER = re.compile(r"scaler", re.IGNORECASE)
PROGRESS = re.compile(
    r"epoch|(^|[^a-z])(global_)?step|iter|(^|_)it($|_)|round|(^|_)i($|_)|(^|_)ep($|_)|time|date|uuid"
)
HELD_OUT = re.compile(r"val|test|eval|dev(?!ice)|infer|predict", re.IGNORECASE)
MAX_HOPS = 3  # callers and assignments followed


def last_names(node: ast.AST) -> set[str]:
    """Last parts of all names and attributes below a node."""
    found: set[str] = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute):
            found.add(each.attr)
        elif isinstance(each, ast.Name):
            found.add(each.id)
    return found


def argument(function: Function, call: ast.Call, name: str) -> ast.expr | None:
    """What a call passes for a parameter of the function that it runs, or its default."""
    if value := keyword(call, name):
        return value
    names = function.parameters
    if name not in names:
        return None
    index = names.index(name)
    is_bound = bool(function.owner) and names[:1] in (["self"], ["cls"])
    position = index - int(is_bound)
    if 0 <= position < len(call.args) and not any(
        isinstance(each, ast.Starred) for each in call.args
    ):
        return call.args[position]
    if isinstance(function.node, Definition):
        arguments = function.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults = dict(
            zip(
                [each.arg for each in reversed(positional)],
                reversed(arguments.defaults),
                strict=False,
            )
        )
        return defaults.get(name)
    return None


def trace(
    project: Project, function: Function, expr: ast.expr, hops: int = MAX_HOPS
) -> list[tuple[Function, ast.expr]]:
    """What an expression may be: through assignments and the arguments of callers."""
    written = path_of(expr)
    if not written or hops == 0:
        return [(function, expr)]
    found: list[tuple[Function, ast.expr]] = []
    for where, value in project.resolver.values(function, written):
        if value is not expr:
            found += trace(project, where, value, hops - 1)
    if not found and written in function.parameters:
        for caller, call in project.resolver.callers(function)[:20]:
            value = argument(function, call, written)
            if value is not None and value is not expr:
                found += trace(project, caller, value, hops - 1)
    return found or [(function, expr)]


# Gradients


def is_guard_call(node: ast.AST) -> bool:
    """Whether it mentions no_grad, inference_mode or set_grad_enabled(anything but True)."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and called(each) == "set_grad_enabled":
            return not (
                each.args and isinstance(each.args[0], ast.Constant) and each.args[0].value is True
            )
        if isinstance(each, ast.Attribute | ast.Name):
            name = each.attr if isinstance(each, ast.Attribute) else each.id
            if name in GUARDS - {"set_grad_enabled"}:
                return True
    return False


def turns_off(project: Project, function: Function, expr: ast.expr) -> bool:
    """Whether a context manager or decorator turns gradients off, a project's own too."""
    if is_guard_call(expr):
        return True
    target = expr.func if isinstance(expr, ast.Call) else expr
    symbol = project.resolver.symbol_in(function, path_of(target))
    if isinstance(symbol, Function):
        return any(name in GUARDS for each in symbol.deep() for name in names_in(each))
    if isinstance(symbol, Class):
        return any(name in GUARDS for each in symbol.methods.values() for name in names_in(each))
    values = project.resolver.values(function, path_of(expr)) if path_of(expr) else []
    return any(is_guard_call(value) for _, value in values)


def names_in(function: Function) -> set[str]:
    """Names and attributes of a function's body and decorators."""
    decorators = function.node.decorator_list if isinstance(function.node, Definition) else []
    found = {each.attr for each in function.all(ast.Attribute)} | function.names
    return found.union(*(last_names(each) for each in decorators))


def is_without_gradients(
    project: Project, function: Function, node: ast.AST, hops: int = MAX_HOPS
) -> bool:
    """Whether gradients are off where a node runs: around it or in all callers."""
    module = function.module
    for outer in module.ancestors(node):
        items = outer.items if isinstance(outer, ast.With | ast.AsyncWith) else []
        if any(turns_off(project, function, item.context_expr) for item in items):
            return True
    decorators = function.node.decorator_list if isinstance(function.node, Definition) else []
    if any(turns_off(project, module.script, each) for each in decorators):
        return True
    for each in (function, module.script, *([module.guard] if module.guard else [])):
        for call in each.all(ast.Call):
            outer = module.parents.get(call)
            is_loose = isinstance(outer, ast.Expr) or called(call) in ("enter_context", "__enter__")
            if is_loose and is_guard_call(call):
                return True
    if (
        function.parent
        and function.parent.name
        and is_without_gradients(project, function.parent, function.node, 0)
    ):
        return True
    if hops == 0:
        return False
    callers = [pair for pair in project.resolver.callers(function) if pair[0] is not function]
    return bool(callers) and all(
        is_without_gradients(project, caller, call, hops - 1) for caller, call in callers
    )


# Optimizers, schedulers, models


def kind_of_state(project: Project, function: Function, written: str) -> str:
    """`optimizer`, `scheduler`, `scaler` or "" by the class that a name holds, else by the name."""
    makers = [name for _, name in project.resolver.constructors(function, written)]
    for maker in makers:
        if "lr_scheduler" in maker or "schedule" in maker.lower():
            return "scheduler"
        if maker.startswith("torch.optim.") or "optimizer" in maker.lower():
            return "optimizer"
        if maker.endswith("GradScaler") or maker.endswith("LossScaler"):
            return "scaler"
    last = written.replace("self.", "")
    if SCHEDULER.search(last):
        return "scheduler"
    if OPTIMIZER.search(last):
        return "optimizer"
    return "scaler" if SCALER.search(last) else ""


PHYSICS = re.compile(r"force|stress|virial|hessian", re.IGNORECASE)


def needs_gradients(project: Project, function: Function, holder: str) -> bool:
    """Whether a network's own output is a gradient, such as the forces of an energy."""
    if any(PHYSICS.search(name) for name in names_in(function)):
        return True
    for cls in networks(project, function, holder):
        for method in cls.methods.values():
            for call in method.all(ast.Call):
                if cls.module.dotted(call.func).endswith("autograd.grad"):
                    return True
    return False


def networks(
    project: Project, function: Function, holder: str, hops: int = MAX_HOPS
) -> list[Class]:
    """Classes of the project whose instance a name holds; of a parameter, what callers pass."""
    owner = project.resolver.owner(function)
    if holder == "self" and owner:
        return [owner]
    found = [cls for cls, _ in project.resolver.constructors(function, holder) if cls]
    if not found and hops and holder in function.parameters:
        for caller, call in project.resolver.callers(function)[:20]:
            if value := argument(function, call, holder):
                found += networks(project, caller, path_of(value), hops - 1)
    return found


def forgoes_gradients(project: Project, cls: Class) -> bool:
    """Whether a network itself turns gradients off, for what it returns in one of its modes."""
    forward = project.resolver.method(cls, "forward")
    if forward is None:
        return False
    for result in forward.all(ast.Return):
        if is_without_gradients(project, forward, result, 0):
            return True
        if any(isinstance(each, ast.Call) for each in ast.walk(result)):
            continue
        # `with torch.no_grad(): image = …`, and next `return image`
        for before, after in pairwise(ast.iter_child_nodes(forward.module.parents[result])):
            if after is result and isinstance(before, ast.With):
                return is_without_gradients(project, forward, before.body[0], 0)
    return False


def freezes_itself(project: Project, cls: Class) -> bool:
    """Whether a network's constructor gives all its parameters a `requires_grad` but True."""
    constructor = project.resolver.method(cls, "__init__")
    for loop in constructor.all(ast.For) if constructor else ():
        if isinstance(loop.iter, ast.Call) and path_of(loop.iter.func) == "self.parameters":
            for each in loop.body:
                if isinstance(each, ast.Assign) and not is_constant(each.value, True):
                    return path_of(each.targets[0]).endswith(".requires_grad")
    return False


@lru_cache(maxsize=4)
def optimized(project: Project) -> frozenset[str]:
    """Last names of the objects whose `.parameters()` the project reads: its models."""
    found: set[str] = set()
    for function in project.functions:
        for call in function.all(ast.Call):
            if called(call) in ("parameters", "named_parameters"):
                found.add(last(receiver(call)))
    return frozenset(found - {"", "self"})


def last(written: str) -> str:
    """`model` for `self.trainer.model`; wrappers' `module` is left out."""
    parts = [part for part in written.split(".") if part not in ("module", "_orig_mod")]
    return parts[-1] if parts else ""


def loops_around(
    project: Project, function: Function, node: ast.AST, hops: int = MAX_HOPS
) -> list[tuple[Function, ast.For | ast.AsyncFor | ast.While]]:
    """Loops that run a node: around it, or around calls of its function."""
    found: list[tuple[Function, ast.For | ast.AsyncFor | ast.While]] = [
        (function, loop) for loop in function.module.loops(node)
    ]
    if hops and isinstance(function.node, Definition):
        for caller, call in project.resolver.callers(function)[:20]:
            if caller is not function:
                found += loops_around(project, caller, call, hops - 1)
        if function.parent and function.parent.name:
            found += loops_around(project, function.parent, function.node, hops - 1)
    return found


def are_in_other_branches(function: Function, first: ast.AST, second: ast.AST) -> bool:
    """Whether two nodes are in the two branches of the innermost `if` that contains both."""
    module = function.module
    mine, other = [first, *module.ancestors(first)], [second, *module.ancestors(second)]
    for inner, outer in pairwise(mine):
        if isinstance(outer, ast.If) and outer in other and inner is not outer.test:
            theirs = other[other.index(outer) - 1]
            return (inner in outer.body) != (theirs in outer.body)
    return False


# Checkpoints


@dataclass(eq=False)
class Save:
    """One call that writes a checkpoint with torch."""

    function: Function
    call: ast.Call
    entries: list[tuple[Function, str, ast.expr]]
    """What it holds: key and value; one entry without a key where it is no dictionary."""
    path: ast.expr | None

    def kinds(self, project: Project) -> set[str]:
        """`model`, `optimizer`, `scheduler` and `scaler`, as far as it holds their state."""
        found: set[str] = set()
        for function, key, value in self.entries:
            for call in (each for each in ast.walk(value) if isinstance(each, ast.Call)):
                if called(call) in (
                    "state_dict",
                    "get_model_state_dict",
                    "get_optimizer_state_dict",
                ):
                    holder = receiver(call) or (path_of(call.args[0]) if call.args else "")
                    kind = kind_of_state(project, function, holder)
                    is_model = not kind and (
                        last(holder) in optimized(project)
                        or re.search(r"model|net", holder.lower())
                    )
                    found.add(kind or ("model" if is_model else "other"))
            is_none = is_constant(value, None)
            if OPTIMIZER.search(key) and "model" not in key and not is_none:
                found.add("optimizer")
            if isinstance(value, ast.Name | ast.Attribute) and (
                kind := kind_of_state(project, function, path_of(value))
            ):
                found.add(kind)
        return found


@lru_cache(maxsize=4)
def saves(project: Project) -> tuple[Save, ...]:
    """Every checkpoint that the project writes with torch.save or its like."""
    found: list[Save] = []
    for function in project.functions:
        for call in function.all(ast.Call):
            dotted = function.module.dotted(call.func)
            holder = receiver(call).lower()
            is_launcher = called(call) == "save" and (
                "accelerator" in holder or "fabric" in holder or holder == "xm"
            )
            is_launcher = (
                is_launcher or called(call) == "save_on_master"
            )  # torchvision's wrapper, copied widely
            if not (dotted == "torch.save" or is_launcher) or not call.args:
                continue
            arguments = list(call.args)
            if "fabric" in holder:  # fabric.save(path, state)
                arguments.reverse()
            path = arguments[1] if len(arguments) > 1 else keyword(call, "f")
            found.append(Save(function, call, entries_of(project, function, arguments[0]), path))
    return tuple(found)


def entries_of(
    project: Project, function: Function, expr: ast.expr
) -> list[tuple[Function, str, ast.expr]]:
    """Keys and values of the dictionary that an expression is."""
    found: list[tuple[Function, str, ast.expr]] = []
    for where, value in trace(project, function, expr):
        is_dictionary = isinstance(value, ast.Dict) or (
            isinstance(value, ast.Call) and path_of(value.func) == "dict"
        )
        found += list(pairs(where, value)) if is_dictionary else [(function, "", expr)]
    if written := path_of(expr):
        # `state["optimizer"] = …` beside it
        for where in (function, *(caller for caller, _ in project.resolver.callers(function)[:20])):
            for assign in where.all(ast.Assign):
                for target in assign.targets:
                    if isinstance(target, ast.Subscript) and path_of(target.value) == written:
                        found.append((where, text_of(target.slice), assign.value))
    return found


def pairs(function: Function, value: ast.expr) -> Iterator[tuple[Function, str, ast.expr]]:
    """Entries of a dictionary display, or the value itself."""
    if isinstance(value, ast.Dict):
        for key, each in zip(value.keys, value.values, strict=True):
            if key is None:
                yield from pairs(function, each)
            else:
                yield function, text_of(key), each
    elif isinstance(value, ast.Call) and path_of(value.func) == "dict":
        for each in value.keywords:
            yield function, each.arg or "", each.value
    else:
        yield function, "", value


def in_order(functions: set[Function]) -> list[Function]:
    """Functions in the order of the source."""
    return sorted(functions, key=lambda each: (each.module.path, getattr(each.node, "lineno", 0)))


def calls_in(entry: Entry) -> Iterator[tuple[Function, ast.Call]]:
    """Every call in the files of an entry point's closure that are reviewed."""
    for function in entry.functions():
        for call in function.all(ast.Call):
            yield function, call


def known_epochs(project: Project, entry: Entry) -> int | None:
    """The default number of epochs, if it is written in the code."""
    numbers: list[int] = []
    for training in entry.loops:
        for function, loop in loops_around(project, training.function, training.call):
            if isinstance(loop, ast.While) or not re.search(
                r"epoch|^e$|(^|_)ep($|_)", path_of(loop.target).lower()
            ):
                continue
            inner = loop.iter
            while (
                isinstance(inner, ast.Call)
                and called(inner) in ("tqdm", "trange", "range", "list", "track")
                and inner.args
            ):
                inner = inner.args[-1] if called(inner) in ("range", "trange") else inner.args[0]
                if (number := number_of(project, entry, function, inner)) is not None:
                    numbers.append(number)
                    break
            else:
                return None
    return max(numbers) if numbers else None


def number_of(project: Project, entry: Entry, function: Function, expr: ast.expr) -> int | None:
    """A whole number, through assignments, a parser's default and a dataclass's default."""
    if isinstance(expr, ast.BinOp):
        expr = expr.left if not isinstance(expr.left, ast.Constant) else expr.right
    for _, value in trace(project, function, expr):
        if isinstance(value, ast.Constant) and isinstance(value.value, int):
            return value.value
        name = last(path_of(value))
        if not name:
            continue
        for _, call in calls_in(entry):
            if called(call) == "add_argument" and any(
                text_of(each).lstrip("-").replace("-", "_") == name for each in call.args
            ):
                default = keyword(call, "default")
                if isinstance(default, ast.Constant) and isinstance(default.value, int):
                    return default.value
        for where in entry.functions():
            for assign in where.all(ast.AnnAssign):
                if (
                    path_of(assign.target) == name
                    and isinstance(assign.value, ast.Constant)
                    and isinstance(assign.value.value, int)
                ):
                    return assign.value.value
    return None
