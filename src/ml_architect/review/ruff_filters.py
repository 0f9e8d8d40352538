"""Which of ruff's results are faults: some of its rules report what may be one.

On two large repositories all 15 results of B023 were functions that are called in the same
iteration, and nearly all 168 of B006 were defaults that nothing changes.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import cast

from .source import Definition, Module, called, keyword, path_of, receiver

CHANGES = {
    "add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse",
    "setdefault", "sort", "update",
}  # fmt: skip
KEEPS = {"add", "add_done_callback", "append", "appendleft", "insert", "put", "setdefault"}
LISTS = {"getmembers", "getnames", "infolist", "namelist"}
PYTHON_2 = {
    "basestring", "buffer", "cmp", "execfile", "file", "long", "raw_input", "reduce", "reload",
    "unichr", "unicode", "xrange",
}  # fmt: skip
Anonymous = Definition | ast.Lambda


def is_fault(code: str, module: Module, line: int, column: int) -> bool:
    """Whether one of ruff's results can do harm; columns begin at 1."""
    around = list(_around(module.tree, line, column - 1))
    functions = [node for node in around if isinstance(node, Anonymous)]
    if code in FILTERS:
        return FILTERS[code](module, around)
    if code == "F821":
        if _is_of_python_2(around[-1]) or _is_unreachable(module, around[-1]):
            return False
        if any(_is_text(module, node) for node in around):  # an annotation that isn't evaluated
            return False
        # What the end of a loop assigns is there in the next iteration: ruff reads top to bottom.
        scope = functions[-1] if functions else module.tree
        is_in_loop = any(isinstance(node, ast.For | ast.AsyncFor | ast.While) for node in around)
        return not (is_in_loop and _assigned(scope) & _names(around))
    if code == "B006":
        owners = [node for node in around if isinstance(node, Anonymous | ast.arguments)]
        owner = next((one for one in reversed(owners) if isinstance(one, Anonymous)), None)
        return owner is None or _changes_default(owner, line, column - 1)
    if code == "B023":
        return any(_is_kept(module, function) for function in functions)
    return True


def _around(tree: ast.Module, line: int, column: int) -> Iterator[ast.AST]:
    """Nodes that contain a place, from the outermost."""
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if not hasattr(node, "lineno"):
            nodes += ast.iter_child_nodes(node)
            continue
        first = (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
        last = (getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0))
        if first <= (line, column) < last:
            yield node
            nodes = list(ast.iter_child_nodes(node))


def _is_text(module: Module, node: ast.AST) -> bool:
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return False
    return not isinstance(module.parents.get(node), ast.JoinedStr)  # f"{name}" is evaluated


def _assigned(scope: ast.AST) -> set[str]:
    names = (node for node in ast.walk(scope) if isinstance(node, ast.Name))
    return {node.id for node in names if isinstance(node.ctx, ast.Store)}


def _names(nodes: list[ast.AST]) -> set[str]:
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _changes_default(function: Anonymous, line: int, column: int) -> bool:
    """Whether a function changes the parameter whose default is at a place."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = list(zip(reversed(positional), reversed(arguments.defaults), strict=False))
    pairs += [
        (argument, default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is not None
    ]
    names = {
        argument.arg
        for argument, default in pairs
        if (default.lineno, default.col_offset) == (line, column)
    }
    is_changed = False
    is_empty = all(
        isinstance(default, ast.Dict) and not default.keys
        for argument, default in pairs
        if argument.arg in names
    )
    for node in ast.walk(function):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) if name in names:
                if not isinstance(_target_of(function, node), ast.AugAssign):
                    return False  # it is another object from here on, such as a copy
                is_changed = True
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name))) if name in names:
                # `kwargs.pop("key", None)` of an empty default leaves it empty.
                is_no_change = called(node) == "pop" and len(node.args) == 2 and is_empty
                is_changed = is_changed or (called(node) in CHANGES and not is_no_change)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                is_changed = is_changed or name in names
            case _:
                pass
    return is_changed


def _is_of_python_2(node: ast.AST) -> bool:
    """Whether it is a builtin of Python 2: the file is written for it, or guards it."""
    return isinstance(node, ast.Name) and node.id in PYTHON_2


def _is_unreachable(module: Module, node: ast.AST) -> bool:
    """Whether a statement before it, in a block around it, raises or returns."""
    here = node
    while (outer := module.parents.get(here)) is not None:
        for block in (getattr(outer, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(block, list) and here in block:
                before = cast("list[ast.stmt]", block)[: block.index(here)]
                if any(map(_ends, before)):
                    return True
        if isinstance(outer, Anonymous):
            return False
        here = outer
    return False


def _ends(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.With | ast.AsyncWith):
        return any(map(_ends, statement.body))
    return isinstance(statement, ast.Raise | ast.Return | ast.Continue | ast.Break)


def _stays_open(module: Module, around: list[ast.AST]) -> bool:
    """Whether nothing closes an opened file, whatever happens: in `finally`, or in all branches."""
    call = next(node for node in reversed(around) if isinstance(node, ast.Call))
    function = module.function_of(call)
    names = {name for name, values in function.values.items() if call in values}
    return not any(
        _closes(attempt.finalbody, names)
        or (
            bool(attempt.handlers)
            and all(_closes(handler.body, names) for handler in attempt.handlers)
            and _closes([*attempt.orelse, *attempt.body], names)
        )
        for attempt in function.all(ast.Try)
    )


def _closes(body: list[ast.stmt], names: set[str]) -> bool:
    calls = (call for each in body for call in _calls(each))
    return any(called(call) == "close" and receiver(call) in names for call in calls)


def _makes_objects(_module: Module, around: list[ast.AST]) -> bool:
    """Whether a loader of PyYAML makes any object; FullLoader doesn't since PyYAML 5.4, of 2021."""
    call = next(node for node in reversed(around) if isinstance(node, ast.Call))
    loader = keyword(call, "Loader") or (call.args[1] if len(call.args) > 1 else None)
    return loader is None or path_of(loader).rpartition(".")[2] != "FullLoader"


def _may_leave_folder(module: Module, around: list[ast.AST]) -> bool:
    """Whether members of an archive may be outside: zipfile and a check before it prevent that."""
    call = next(node for node in reversed(around) if isinstance(node, ast.Call))
    function = module.function_of(call)
    held = call.func.value if isinstance(call.func, ast.Attribute) else call
    made = [held, *function.values.get(path_of(held), ())]
    if any(
        isinstance(each, ast.Call) and module.dotted(each.func) == "zipfile.ZipFile"
        for each in made
    ):
        return False
    return not any(
        loop.lineno < call.lineno
        and any(called(each) in LISTS for each in _calls(loop.iter))
        and any(isinstance(each, ast.Raise) for each in ast.walk(loop))
        for loop in function.all(ast.For)
    )


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (each for each in ast.walk(node) if isinstance(each, ast.Call))


FILTERS: dict[str, Callable[[Module, list[ast.AST]], bool]] = {
    "SIM115": _stays_open,
    "S506": _makes_objects,
    "S202": _may_leave_folder,
}


def _target_of(function: Anonymous, name: ast.Name) -> ast.AST | None:
    """The augmented assignment to a name, if it is one."""
    for node in ast.walk(function):
        if isinstance(node, ast.AugAssign) and node.target is name:
            return node
    return None


def _is_kept(module: Module, function: Anonymous) -> bool:
    """Whether a function made in a loop is still used after its iteration: appended, registered."""
    uses: list[ast.AST] = [function]
    if isinstance(function, Definition):
        scope = module.function_of(function)
        uses = [
            node
            for node in ast.walk(scope.node)
            if isinstance(node, ast.Name) and node.id == function.name
        ]
    return any(_keeps(module.parents.get(use), use) for use in uses)


def _keeps(parent: ast.AST | None, use: ast.AST) -> bool:
    match parent:
        case ast.Call():
            name = called(parent)
            return use is not parent.func and (name in KEEPS or name.startswith("register"))
        case ast.Assign():
            return any(isinstance(one, ast.Subscript | ast.Attribute) for one in parent.targets)
        case ast.ListComp() | ast.SetComp() | ast.DictComp():
            return True
        case _:
            return False
