"""Which of ruff's results are faults: some of its rules say what could be one.

On two large repositories all 15 results of B023 were functions that are called in the same turn of
the loop, and nearly all 168 of B006 were defaults that nothing changes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .source import Definition, Module, called

CHANGES = {
    "add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse",
    "setdefault", "sort", "update",
}  # fmt: skip
KEEPS = {"add", "add_done_callback", "append", "appendleft", "insert", "put", "setdefault"}
Anonymous = Definition | ast.Lambda


def is_fault(code: str, module: Module, line: int, column: int) -> bool:
    """Whether one of ruff's results can do harm; columns begin at 1."""
    around = list(_around(module.tree, line, column - 1))
    functions = [node for node in around if isinstance(node, Anonymous)]
    if code == "F821":
        if any(_is_text(module, node) for node in around):  # an annotation that isn't evaluated
            return False
        # What the end of a loop assigns is there in its next turn; ruff reads from top to bottom.
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
    """Whether a function changes the parameter whose default stands at a place."""
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
    for node in ast.walk(function):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) if name in names:
                if not isinstance(_target_of(function, node), ast.AugAssign):
                    return False  # it is another object from here on, such as a copy
                is_changed = True
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name))) if name in names:
                is_changed = is_changed or called(node) in CHANGES
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                is_changed = is_changed or name in names
            case _:
                pass
    return is_changed


def _target_of(function: Anonymous, name: ast.Name) -> ast.AST | None:
    """The augmented assignment to a name, if it is one."""
    for node in ast.walk(function):
        if isinstance(node, ast.AugAssign) and node.target is name:
            return node
    return None


def _is_kept(module: Module, function: Anonymous) -> bool:
    """Whether a function made in a loop is still there after its turn: appended, registered."""
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
