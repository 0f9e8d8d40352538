"""Checks of the training step."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..findings import Finding, count
from ..project import Project
from ..source import Function, called, path_of, receiver
from ..torch_code import (
    OPTIMIZER,
    are_in_other_branches,
    is_without_gradients,
    kind_of_state,
    last_names,
    loops_around,
    names_in,
)
from .check import finding

# What leaves the graph: a number, an array, a tensor without history.
DETACHES = {
    "item", "detach", "data", "numpy", "tolist", "detach_", "no_grad", "format",
}  # fmt: skip
CASTS = {"float", "int", "str"}  # as functions: `target.float()` stays a tensor


def backward_roots(function: Function) -> dict[str, list[ast.Call]]:
    """Names on which a backward pass is called, through `scaler.scale(loss)` and `accelerator`."""
    found: dict[str, list[ast.Call]] = {}
    for call in function.all(ast.Call):
        if called(call) not in ("backward", "manual_backward"):
            continue
        inner: list[ast.expr] = [call.func.value] if isinstance(call.func, ast.Attribute) else []
        if call.args:
            inner.append(call.args[0])
        for each in inner:
            for name in names_of(each):
                found.setdefault(name, []).append(call)
    return found


def names_of(expr: ast.AST) -> set[str]:
    """Names and dotted paths in an expression, without those that are called."""
    found: set[str] = set()
    for node in ast.walk(expr):
        if isinstance(node, ast.Name | ast.Attribute) and (written := path_of(node)):
            found.add(written)
    return found


def feeding(function: Function, roots: set[str]) -> set[str]:
    """Names whose values flow into a backward pass within a function."""
    found = set(roots)
    while True:
        more = {
            name
            for target in found
            for value in function.values.get(target, ())
            for name in names_of(value)
        } - found
        if not more:
            return found
        found |= more


def keeps_graph(expr: ast.expr, losses: set[str]) -> str:
    """The loss that an expression keeps with its graph, or ""."""
    if isinstance(expr, ast.Call):
        # `loss.item()`, `float(loss)` and any other call may detach; `loss.mean()` and sums don't.
        if called(expr) in ("mean", "sum", "clone") and isinstance(expr.func, ast.Attribute):
            return keeps_graph(expr.func.value, losses)
        return ""
    if isinstance(expr, ast.BinOp):
        return keeps_graph(expr.left, losses) or keeps_graph(expr.right, losses)
    written = path_of(expr)
    return written if written in losses else ""


def accumulates_graph(project: Project) -> Iterator[Finding]:
    """`total += loss` and `losses.append(loss)` where `loss.backward()` was called."""
    for function in project.functions:
        roots = backward_roots(function)
        losses = set(roots) | losses_of_helpers(project, function)
        if not losses:
            continue
        flows = feeding(function, set(roots))
        found: list[tuple[ast.stmt | ast.expr, str, str]] = []
        for node, target, value in sums(function):
            loss = keeps_graph(value, losses)
            loops = function.module.loops(node)
            if not loss or not loops or target in flows or is_detached(function, loss, node):
                continue
            if loss in roots and not any(
                loops[-1] in function.module.loops(call) for call in roots[loss]
            ):
                continue
            if is_started_inside(function, target, loops[0]) or is_without_gradients(
                project, function, node, 0
            ):
                continue
            if is_computed_without(project, function, loss, node.lineno):
                continue
            found.append((node, target, loss))
        for node, target, loss in found:
            yield finding(
                "ML110",
                function,
                node,
                f"`{target}` accumulates `{loss}` with its graph in a loop",
                f"`{loss}` is what backward() is called on; no .item(), .detach() or float() "
                "between, "
                f"and `{target}` isn't part of a backward pass",
            )


def is_computed_without(project: Project, function: Function, name: str, line: int) -> bool:
    """Whether a name's last value before a line, or what that is computed from, has no graph.

    An evaluation loop may use the names of the training loop.
    """
    value = last_value(function, name, line)
    if value is None:
        return False
    sources = {each.partition(".")[0] for each in names_of(value)} - {name}
    values = [last_value(function, each, value.lineno) for each in sources]
    return any(
        is_without_gradients(project, function, each, 0)
        for each in (value, *values)
        if each is not None
    )


def last_value(function: Function, name: str, line: int) -> ast.expr | None:
    """What was last assigned to a name before a line."""
    values = [each for each in function.values.get(name, ()) if each.lineno <= line]
    return max(values, key=lambda each: each.lineno, default=None)


def sums(function: Function) -> Iterator[tuple[ast.stmt | ast.expr, str, ast.expr]]:
    """Statements that add to a variable or a list: node, target, value."""
    for node in function.all(ast.AugAssign):
        if isinstance(node.op, ast.Add) and path_of(node.target):
            value = node.value
            if isinstance(value, ast.List) and len(value.elts) == 1:
                value = value.elts[0]
            yield node, path_of(node.target), value
    for node in function.all(ast.Assign):
        target = path_of(node.targets[0])
        if target and isinstance(node.value, ast.BinOp) and isinstance(node.value.op, ast.Add):
            for this, other in (
                (node.value.left, node.value.right),
                (node.value.right, node.value.left),
            ):
                if path_of(this) == target:
                    yield node, target, other
    for call in function.all(ast.Call):
        if called(call) == "append" and receiver(call) and len(call.args) == 1:
            yield call, receiver(call), call.args[0]


def is_detached(function: Function, loss: str, node: ast.AST) -> bool:
    """Whether the loss was replaced by a number before: `loss = loss.item()`."""
    line = getattr(node, "lineno", 0)
    return any(
        value.lineno <= line and leaves_graph(value, loss)
        for value in function.values.get(loss, ())
    )


def leaves_graph(value: ast.AST, loss: str) -> bool:
    """Whether a value has no graph: `reduce(loss.data)`, but not `criterion(x, target.data)`."""
    if isinstance(value, ast.Name):
        return value.id in CASTS
    if isinstance(value, ast.Attribute) and value.attr in DETACHES:
        return True
    inside = list(ast.iter_child_nodes(value))
    if isinstance(value, ast.Call):
        inside = [value.func, *(each for each in value.args if loss in names_of(each))]
    return any(leaves_graph(each, loss) for each in inside)


def is_started_inside(function: Function, target: str, loop: ast.AST) -> bool:
    """Whether a sum starts again in each iteration, or isn't this function's."""
    starts = [
        value for value in function.values.get(target, ()) if not isinstance(value, ast.BinOp)
    ]
    if not starts:
        return (
            "." not in target
            and target not in function.parameters
            and not function.module.is_notebook
        )
    return all(loop in function.module.loops(value) for value in starts)


def losses_of_helpers(project: Project, function: Function) -> set[str]:
    """Names that hold a loss returned, with its graph, by a function that ran its backward pass."""
    found: set[str] = set()
    for name, values in function.values.items():
        for value in values:
            if not isinstance(value, ast.Call):
                continue
            for helper in project.resolver.callees(function, value):
                roots = backward_roots(helper)
                returned = [path_of(each.value) for each in helper.all(ast.Return) if each.value]
                if any(
                    each in roots and not is_detached(helper, each, helper.all(ast.Return)[-1])
                    for each in returned
                ):
                    found.add(name)
    return found


ZEROES = re.compile(r"(zero|clear|reset).*grad|grad.*(zero|none)|^set_to_none$")


def never_zeroes(project: Project) -> Iterator[Finding]:
    """Loops with backward() and step(), and no zero_grad() in reach."""
    for function in project.functions:
        backward = [call for call in function.all(ast.Call) if called(call) == "backward"]
        if any("autograd" in receiver(call) for call in backward):
            continue  # torch.distributed.autograd keeps gradients in a context of their own
        steps = [
            call
            for call in function.all(ast.Call)
            if called(call) == "step" and is_step(project, function, call)
        ]
        if not backward or not steps or not loops_around(project, function, steps[0]):
            continue
        holders = {receiver(call) for call in backward} & {receiver(call) for call in steps}
        if holders - {""}:  # an engine, such as DeepSpeed's, zeroes itself
            continue
        around = related(project, function)
        if any(zeroes(each) for each in around) or is_handed_on(project, function, steps[0]):
            continue
        loop_function, loop = loops_around(project, function, steps[0])[0]
        at = loop_function.module.place(loop)
        yield finding(
            "ML111",
            function,
            [*steps],
            f"`{receiver(steps[0])}.step()` follows backward() in a loop, and nothing sets "
            "gradients to zero",
            f"loop at {at}; searched zero_grad(), grad = None and grad.zero_() in "
            "this function, "
            f"its callers and the functions that they call ({count(len(around), 'function')})",
        )


def is_step(project: Project, function: Function, call: ast.Call) -> bool:
    """Whether it is the step of an optimizer, directly or through a scaler."""
    if kind_of_state(project, function, receiver(call)) == "optimizer":
        return True
    return bool(call.args) and bool(OPTIMIZER.search(path_of(call.args[0])))


def related(project: Project, function: Function) -> set[Function]:
    """The function, those inside and around it, its callers, and what all of these call."""
    outer = function
    while outer.parent and outer.parent.name:
        outer = outer.parent
    near = {*outer.deep(), function.module.script}
    for each in list(near):
        near.update(caller for caller, _ in project.resolver.callers(each))
    owner = project.resolver.owner(function)
    if owner:
        near.update(owner.methods.values())
    for each in list(near):
        for call in each.all(ast.Call):
            near.update(project.resolver.callees(each, call))
    return near


def zeroes(function: Function) -> bool:
    """Whether a function sets gradients to zero."""
    names = {each.attr for each in function.all(ast.Attribute)} | function.names
    if any(ZEROES.search(each.lower()) for each in names):
        return True
    for call in function.all(ast.Call):
        if called(call) == "zero_" and any("grad" in each for each in last_names(call.func)):
            return True
    return any(
        isinstance(target, ast.Attribute) and target.attr == "grad"
        for assign in function.all(ast.Assign)
        for target in assign.targets
    )


def is_handed_on(project: Project, function: Function, step: ast.Call) -> bool:
    """Whether the optimizer is passed to unknown code."""
    holder = receiver(step)
    for call in function.all(ast.Call):
        is_given = any(path_of(each) == holder for each in call.args)
        is_known = re.search(
            r"lr|sched|step|param|prepare|print|scaler", called(call), re.IGNORECASE
        )
        if is_given and not is_known and not project.resolver.callees(function, call):
            return True
    return False


def clips_scaled(project: Project) -> Iterator[Finding]:
    """Clipping between `scaler.scale(loss).backward()` and `scaler.step()`, without unscale_."""
    for function in project.functions:
        calls = function.all(ast.Call)
        scaled = [
            call
            for call in calls
            if called(call) == "backward"
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Call)
            and called(call.func.value) in ("scale", "scale_loss")
        ]
        if not scaled or any(unscales(each) for each in related(project, function)):
            continue
        clips = [
            call
            for call in calls
            if called(call) in ("clip_grad_norm_", "clip_grad_norm", "clip_grad_value_")
        ]
        steps = [call for call in calls if called(call) == "step" and call.args]
        found = [
            clip
            for clip in clips
            for first in scaled
            if first.lineno < clip.lineno
            and any(step.lineno > clip.lineno for step in steps)
            and not are_in_other_branches(function, first, clip)
            and any(not are_in_other_branches(function, clip, step) for step in steps)
        ]
        if found:
            yield finding(
                "ML112",
                function,
                list(found),
                f"`{called(found[0])}` clips gradients before `{receiver(steps[0])}` unscales them",
                f"scale(…).backward() at {function.module.place(scaled[0])}; no "
                "unscale_() in this function, its "
                "callers and the functions that they call",
            )


def unscales(function: Function) -> bool:
    """Whether a function unscales gradients."""
    return "unscale_" in names_in(function) or "unscale_gradients" in names_in(function)


CHECKS = {"ML110": accumulates_graph, "ML111": never_zeroes, "ML112": clips_scaled}
