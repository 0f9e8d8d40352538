"""Checks of code that evaluates a model."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..findings import Finding
from ..project import Project
from ..source import Definition, Function, called, is_constant, keyword, path_of, receiver
from ..torch_code import (
    are_in_other_branches,
    forgoes_gradients,
    freezes_itself,
    is_without_gradients,
    loops_around,
    needs_gradients,
    networks,
)
from .check import finding

# Hooks that Lightning runs without gradients, and methods that a framework calls itself.
FRAMEWORK = re.compile(r"^(on_(validation|test|predict|sanity)|validation_|test_step|predict_step)")
SHOWS = re.compile(r"sampl|plot|visual|show|generat|demo|imag|draw|export|profil", re.IGNORECASE)
# An average of the trained model, or what it is compared with: never trained itself.
COPY = re.compile(r"(^|[._])(ema|swa|averaged?|teacher|target)", re.IGNORECASE)
MODEL_METHODS = ("forward", "__call__", "__init__", "train", "eval")


def mode_of(call: ast.Call) -> str:
    """`eval`, `train` or "" for a call that switches a model's mode."""
    name = called(call)
    if name == "eval" and not call.args and not call.keywords:
        return "eval"
    if name == "train" and receiver(call) and len(call.args) + len(call.keywords) <= 1:
        value = call.args[0] if call.args else next((each.value for each in call.keywords), None)
        if is_constant(value, False):
            return "eval"
        return "train"
    return ""


def evaluates_with_gradients(project: Project) -> Iterator[Finding]:
    """Forward passes after `.eval()`, outside of no_grad, whose result no backward pass uses."""
    for function in project.functions:
        if (
            function.name in MODEL_METHODS
            and function.owner
            and project.resolver.is_network(function.owner)
        ):
            continue  # a part that is frozen inside a network
        if FRAMEWORK.match(function.name):
            continue
        modes = [(call, mode_of(call)) for call in function.all(ast.Call) if mode_of(call)]
        for holder in dict.fromkeys(
            receiver(call) for call, mode in modes if mode == "eval" and receiver(call)
        ):
            yield from forwards_of(project, function, holder, modes)


def forwards_of(
    project: Project, function: Function, holder: str, modes: list[tuple[ast.Call, str]]
) -> Iterator[Finding]:
    """The finding for one model in one function."""
    module = function.module
    switches = [(call.lineno, mode, call) for call, mode in modes if receiver(call) == holder]
    if needs_gradients(project, function, holder):
        return
    if "requires_grad_" in names_of(function) or is_frozen(function):
        return
    if makes_volatile(project, function):
        return
    classes = networks(project, function, holder)
    if classes and all(
        forgoes_gradients(project, cls) or freezes_itself(project, cls) for cls in classes
    ):
        return
    found: list[ast.AST] = []
    for call in function.all(ast.Call):
        if not runs_model(project, function, call, holder):
            continue
        before = [
            (line, mode, each)
            for line, mode, each in switches
            if line <= call.lineno and each is not call
        ]
        if (
            not before
            or before[-1][1] != "eval"
            or is_switch_of_branches(function, before[-1][2], switches)
        ):
            continue
        if feeds_backward(project, function, call, switches) or is_without_gradients(
            project, function, call
        ):
            continue
        # A single forward pass is cheap.
        is_in_callers_loop = bool(loops_around(project, function, call))
        repeats = (ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
        is_repeated = any(isinstance(each, repeats) for each in module.ancestors(call))
        is_often = (
            module.loops(call)
            or is_repeated
            or (is_in_callers_loop and not SHOWS.search(function.name))
        )
        if is_often and not are_in_other_branches(function, before[-1][2], call):
            found.append(call)
    if found:
        at = module.place(next(call for _, mode, call in switches if mode == "eval"))
        yield finding(
            "ML101",
            function,
            found,
            f"`{holder}` is run in evaluation mode, but gradients are on",
            f"{holder}.eval() at {at}; no torch.no_grad(), inference_mode() or "
            "set_grad_enabled(False) around the forward pass, on the function or in all of its "
            "callers",
        )


def makes_volatile(project: Project, function: Function) -> bool:
    """Whether inputs are Variables with `volatile=`: before torch 0.4, it turned gradients off.

    A helper often decides, as in `Variable(data, volatile=evaluation)`.
    """
    calls = function.all(ast.Call)
    helpers = {each for call in calls for each in project.resolver.callees(function, call)}
    inside = [call for each in helpers for call in each.all(ast.Call)]
    values = [keyword(call, "volatile") for call in (*calls, *inside)]
    return any(value is not None and not is_constant(value, False) for value in values)


def names_of(function: Function) -> set[str]:
    """Attributes that a function mentions."""
    return {each.attr for each in function.all(ast.Attribute)}


def is_frozen(function: Function) -> bool:
    """Whether the function sets `requires_grad`, or asks for gradients itself."""
    for assign in function.all(ast.Assign):
        if any(
            isinstance(target, ast.Attribute) and target.attr == "requires_grad"
            for target in assign.targets
        ):
            return True
    return any(
        function.module.dotted(call.func).endswith("autograd.grad")
        for call in function.all(ast.Call)
    )


def runs_model(project: Project, function: Function, call: ast.Call, holder: str) -> bool:
    """Whether a call is a model's forward pass, or a helper that runs it."""
    written = path_of(call.func)
    if written in (holder, f"{holder}.forward", f"{holder}.module"):
        return True
    if written == f"{holder}.train" or not any(path_of(each) == holder for each in call.args):
        return False
    for helper in project.resolver.callees(function, call):
        if helper.name == "__init__" or "backward" in names_of(helper):
            continue
        names = [name for name in helper.parameters if name != "self"]
        index = next(i for i, each in enumerate(call.args) if path_of(each) == holder)
        name = names[index] if index < len(names) else ""
        inner = [
            each
            for each in helper.all(ast.Call)
            if name and path_of(each.func) in (name, f"{name}.forward")
        ]
        modes = [mode_of(each) for each in helper.all(ast.Call) if receiver(each) == name]
        if inner and not any(modes):
            return not any(is_without_gradients(project, helper, each, 0) for each in inner)
    return False


def is_switch_of_branches(
    function: Function, call: ast.Call, switches: list[tuple[int, str, ast.Call]]
) -> bool:
    """Whether `if …: model.train() else: model.eval()` chooses the mode."""
    around = [each for each in function.module.ancestors(call) if isinstance(each, ast.If)]
    for outer in around[:2]:
        for _, mode, other in switches:
            if mode == "train" and outer in function.module.ancestors(other):
                return True
    return False


def feeds_backward(
    project: Project,
    function: Function,
    call: ast.Call,
    switches: list[tuple[int, str, ast.Call]],
) -> bool:
    """Whether a backward pass follows in the same loop, before the mode changes again."""
    loops = function.module.loops(call)
    later = [line for line, _, _ in switches if line > call.lineno]
    for each in function.all(ast.Call):
        is_backward = called(each) in ("backward", "manual_backward", "grad", "scale")
        helpers = project.resolver.callees(function, each)
        if not is_backward and not any(map(differentiates, helpers)):
            continue
        is_before_switch = each.lineno >= call.lineno and (not later or each.lineno < min(later))
        same = not loops or loops[0] in function.module.loops(each)
        if same and (
            is_before_switch
            or (
                loops
                and loops[0] in function.module.loops(each)
                and not has_eval(loops[0], switches)
            )
        ):
            return True
    return any("backward" in names_of(child) for child in function.children)


def differentiates(helper: Function) -> bool:
    """Whether a function takes the gradients of what it is given."""
    for call in helper.all(ast.Call):
        target = call.args[0] if call.args and called(call) == "grad" else None
        if called(call) == "backward" and isinstance(call.func, ast.Attribute) and not call.args:
            target = call.func.value
        if target is not None and path_of(target) in helper.parameters:
            return True
    return False


def has_eval(
    loop: ast.For | ast.AsyncFor | ast.While, switches: list[tuple[int, str, ast.Call]]
) -> bool:
    """Whether the mode is switched inside a loop."""
    return any(loop.lineno <= line <= (loop.end_lineno or line) for line, _, _ in switches)


def evaluates_without_way_back(project: Project) -> Iterator[Finding]:
    """Epoch loops in which the model switches to evaluation and never back."""
    for function in project.functions:
        for loop in [*function.all(ast.For), *function.all(ast.While)]:
            if function.module.loops(loop):
                continue  # the outermost loop is the one over epochs
            inside = [
                call for call in function.all(ast.Call) if loop in function.module.loops(call)
            ]
            modes: list[tuple[Function, ast.Call, str]] = []
            trains = False
            for owner, call in with_callees(project, function, inside, 2):
                trains = trains or called(call) == "backward"
                # Trained on in evaluation mode, as it is meant: a part that stays frozen.
                is_frozen_part = (
                    mode_of(call) == "eval" and owner is not function and has_backward(owner)
                )
                if is_frozen_part:
                    modes.append((owner, call, "frozen"))
                # A model that a function makes for itself isn't the one that trains.
                is_own = (
                    owner is not function
                    and receiver(call) in owner.values
                    and mode_of(call) == "eval"
                )
                is_copy = bool(COPY.search(receiver(call)))
                if (mode := mode_of(call)) and not is_own and not is_copy:
                    modes.append((owner, call, mode))
            is_network = [each for each in modes if receiver(each[1])]
            if trains and is_network and all(mode == "eval" for _, _, mode in is_network):
                owner, call, _ = is_network[0]
                yield finding(
                    "ML201",
                    owner,
                    call,
                    f"`{receiver(call)}.eval()` runs in the training loop, and `.train()` never "
                    "does",
                    "loop at "
                    f"{function.module.place(loop)}; "
                    "no `.train()` in it or in the functions that it calls, two levels deep",
                )


def has_backward(function: Function) -> bool:
    """Whether a function runs a backward pass."""
    return any(called(call) == "backward" for call in function.all(ast.Call))


def with_callees(
    project: Project, function: Function, calls: list[ast.Call], depth: int
) -> Iterator[tuple[Function, ast.Call]]:
    """Calls and those of the functions that they run."""
    seen: set[Function] = set()
    queue = [(function, call, depth) for call in calls]
    for owner, call, left in queue:
        yield owner, call
        for callee in project.resolver.callees(owner, call) if left else ():
            if callee not in seen and isinstance(callee.node, Definition):
                seen.add(callee)
                queue += [
                    (each, inner, left - 1)
                    for each in callee.deep()
                    for inner in each.all(ast.Call)
                ]


CHECKS = {"ML101": evaluates_with_gradients, "ML201": evaluates_without_way_back}
