"""A Python file or notebook as an index: one walk, then checks look nodes up by type and owner."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from dataclasses import dataclass, field
from typing import TypeVar, cast

from .findings import Place

MAX_BYTES = 1_000_000  # larger files are generated: they take seconds, and nobody edits them
PYTHON_2 = re.compile(
    r"^\s*(print\s+[\"'\w%]|exec\s+[\"'\w]|except\s+[\w.]+\s*,\s*\w+\s*:|raise\s+\w+\s*,)"
)
Node = TypeVar("Node", bound=ast.AST)
Definition = ast.FunctionDef | ast.AsyncFunctionDef


class UnreadableError(Exception):
    """The file can't be parsed; the text says why, in one line."""


@dataclass(eq=False)
class Class:
    """A class and its methods."""

    module: Module
    node: ast.ClassDef
    methods: dict[str, Function] = field(default_factory=dict[str, "Function"])

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(eq=False)
class Function:
    """A function, the code of a module outside of functions, or the body of `if __name__ …`."""

    module: Module
    node: Definition | ast.Module | ast.If
    name: str
    parent: Function | None = None
    owner: Class | None = None
    """The class whose method it is."""
    children: list[Function] = field(default_factory=list["Function"])
    nodes: dict[type[ast.AST], list[ast.AST]] = field(
        default_factory=dict[type[ast.AST], list[ast.AST]]
    )
    """Its nodes in the order of the source, without those of functions inside it."""
    names: set[str] = field(default_factory=set[str])
    """Names that it reads."""
    values: dict[str, list[ast.expr]] = field(default_factory=dict[str, list[ast.expr]])
    """What is assigned to each name or dotted path, such as `self.model`."""

    def all(self, kind: type[Node]) -> list[Node]:
        """Nodes of a type, in the order of the source."""
        return cast(list[Node], self.nodes.get(kind, []))

    def deep(self) -> list[Function]:
        """This function and all inside it."""
        return [self, *(each for child in self.children for each in child.deep())]

    @property
    def qualified(self) -> str:
        """Name with its class, as a reader would write it."""
        if self.parent and self.parent.name and not self.owner:
            return f"{self.parent.qualified}.{self.name}"
        return f"{self.owner.name}.{self.name}" if self.owner else self.name

    @property
    def parameters(self) -> list[str]:
        """Names of its parameters."""
        if not isinstance(self.node, Definition):
            return []
        arguments = self.node.args
        return [
            each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        ]


@dataclass(frozen=True)
class Import:
    """What a local name stands for: a module, or a name inside one."""

    level: int
    module: str
    name: str = ""

    @property
    def dotted(self) -> str:
        return ".".join(part for part in ("." * self.level + self.module, self.name) if part)


@dataclass(eq=False)
class Module:
    """A parsed file."""

    path: str
    text: str
    tree: ast.Module
    is_reviewed: bool = True
    cells: dict[int, str] = field(default_factory=dict[int, str])
    """The code of a notebook by the number of the cell."""
    places: list[Place] | None = None
    """For a notebook: of each line of code."""
    left_out: str = ""
    """What of it could not be read."""
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict[ast.AST, ast.AST])
    functions: list[Function] = field(default_factory=list[Function])
    by_node: dict[ast.AST, Function] = field(default_factory=dict[ast.AST, Function])
    classes: list[Class] = field(default_factory=list[Class])
    imports: dict[str, Import] = field(default_factory=dict[str, Import])
    import_nodes: list[ast.Import | ast.ImportFrom] = field(
        default_factory=list[ast.Import | ast.ImportFrom]
    )
    top: dict[str, Function | Class] = field(default_factory=dict[str, Function | Class])

    @property
    def is_notebook(self) -> bool:
        return self.places is not None

    @property
    def script(self) -> Function:
        """The code outside of functions."""
        return self.functions[0]

    @property
    def guard(self) -> Function | None:
        """The body of `if __name__ == "__main__"`."""
        return next((each for each in self.functions if isinstance(each.node, ast.If)), None)

    def all(self, kind: type[Node]) -> list[Node]:
        """Nodes of a type in the whole file."""
        return [node for function in self.functions for node in function.all(kind)]

    def place(self, node: ast.AST) -> Place:
        """Where a node is in the file."""
        line = int(getattr(node, "lineno", 1))
        column = int(getattr(node, "col_offset", 0)) + 1
        if self.places is not None:
            return self.places[min(line, len(self.places)) - 1]
        return Place(self.path, line, column)

    def function_of(self, node: ast.AST) -> Function:
        """The function that contains a node."""
        here: ast.AST | None = node
        while here is not None:
            here = self.parents.get(here)
            if here in self.by_node:
                return self.by_node[here]
        return self.script

    def ancestors(self, node: ast.AST) -> list[ast.AST]:
        """Nodes around a node, the nearest first, up to its function."""
        around: list[ast.AST] = []
        here = self.parents.get(node)
        while here is not None:
            around.append(here)
            if here in self.by_node:
                break
            here = self.parents.get(here)
        return around

    def loops(self, node: ast.AST) -> list[ast.For | ast.AsyncFor | ast.While]:
        """Loops whose body contains a node, the innermost first, inside its function."""
        around: list[ast.For | ast.AsyncFor | ast.While] = []
        inner = node
        for outer in self.ancestors(node):
            if isinstance(outer, ast.For | ast.AsyncFor | ast.While):
                is_head = not isinstance(outer, ast.While) and inner in (outer.iter, outer.target)
                if not is_head:
                    around.append(outer)
            inner = outer
        return around

    def statement(self, node: ast.AST) -> ast.stmt:
        """The statement that a node belongs to."""
        here = node
        while not isinstance(here, ast.stmt):
            here = self.parents[here]
        return here

    def dotted(self, node: ast.AST) -> str:
        """Full name of `a.b.c` by the imports, or "" for anything but names and attributes."""
        written = path_of(node)
        first, dot, rest = written.partition(".")
        found = self.imports.get(first)
        return (found.dotted if found else first) + dot + rest


def path_of(node: ast.AST) -> str:
    """`a.b.c` as it is written, or "" for anything but names and attributes."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def called(call: ast.Call) -> str:
    """Last name of what is called: `step` for `self.optimizer.step()`."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def receiver(call: ast.Call) -> str:
    """What a method is called on, as written: `self.model` for `self.model.eval()`."""
    return path_of(call.func.value) if isinstance(call.func, ast.Attribute) else ""


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Value of a keyword argument."""
    return next((each.value for each in call.keywords if each.arg == name), None)


def text_of(node: ast.AST) -> str:
    """A constant string, or ""."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def is_constant(node: ast.AST | None, value: object) -> bool:
    """Whether a node is a constant of this value."""
    return isinstance(node, ast.Constant) and node.value == value


def decode(data: bytes) -> str:
    """Text of a source file by its declared encoding."""
    if len(data) > MAX_BYTES:
        raise UnreadableError(f"larger than {MAX_BYTES // 1_000_000} MB ({len(data):,} bytes)")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise UnreadableError(
            "not UTF-8, and no other encoding is declared on line 1 or 2"
        ) from error


def parse(text: str) -> ast.Module:
    """Tree of a file's text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in the project that is read
            return ast.parse(text)
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        what = "Python 2 syntax" if PYTHON_2.match(line) else f"syntax error ({error.msg})"
        raise UnreadableError(f"{what} on line {error.lineno}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "holds null bytes" if "null" in str(error) else "nested too deeply"
        raise UnreadableError(reason) from error


def read_source(path: str, data: bytes) -> Module:
    """Parse and index a file."""
    text = decode(data)
    module = Module(path, text, parse(text))
    index(module)
    return module


def is_guard(node: ast.AST) -> bool:
    """Whether it is `if __name__ == "__main__"`."""
    if not (isinstance(node, ast.If) and isinstance(node.test, ast.Compare)):
        return False
    sides = [node.test.left, *node.test.comparators]
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)


SKIPPED = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)


def index(module: Module) -> None:
    """Fill a module's index in one walk."""
    script = Function(module, module.tree, "")
    module.functions.append(script)
    module.by_node[module.tree] = script
    parents = module.parents
    stack: list[tuple[ast.AST, Function, Class | None]] = [(module.tree, script, None)]
    while stack:
        node, function, owner = stack.pop()
        function.nodes.setdefault(type(node), []).append(node)
        inner, inner_owner, body = function, owner, ()
        match node:
            case ast.Name():
                function.names.add(node.id)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                inner = Function(module, node, node.name, function, owner)
                inner_owner, body = None, tuple(node.body)
                add_function(module, inner)
            case ast.ClassDef():
                inner_owner = Class(module, node)
                body = tuple(node.body)
                module.classes.append(inner_owner)
                if function is script:
                    module.top.setdefault(node.name, inner_owner)
            case ast.If() if function is script and is_guard(node):
                inner = Function(module, node, "__main__", script)
                body = tuple(node.body)
                add_function(module, inner)
            case ast.Import() | ast.ImportFrom():
                add_import(module, node)
            case ast.Assign() | ast.AnnAssign() | ast.NamedExpr() | ast.withitem():
                add_values(function, node)
            case _:
                pass
        inside = set(map(id, body))
        children: list[tuple[ast.AST, Function, Class | None]] = []
        for child in ast.iter_child_nodes(node):
            if isinstance(child, SKIPPED):
                continue
            parents[child] = node
            if not body or id(child) in inside:
                children.append((child, inner, inner_owner))
            else:  # decorators, defaults, bases
                children.append((child, function, owner))
        stack.extend(reversed(children))


def add_function(module: Module, function: Function) -> None:
    """Enter a function into the index of its module."""
    module.functions.append(function)
    module.by_node[function.node] = function
    if function.parent:
        function.parent.children.append(function)
    if function.owner:
        function.owner.methods.setdefault(function.name, function)
    elif function.parent is module.script and isinstance(function.node, Definition):
        module.top[function.name] = function


def add_import(module: Module, node: ast.Import | ast.ImportFrom) -> None:
    """Enter the names that an import binds."""
    module.import_nodes.append(node)
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            target = Import(node.level, node.module or "", alias.name)
        elif alias.asname:
            target = Import(0, alias.name)
        else:
            target = Import(0, alias.name.partition(".")[0])
        module.imports[alias.asname or alias.name.partition(".")[0]] = target


def add_values(function: Function, node: ast.AST) -> None:
    """Enter what is assigned to names."""
    match node:
        case ast.Assign():
            pairs = [(target, node.value) for target in node.targets]
        case ast.AnnAssign() | ast.NamedExpr() if node.value:
            pairs = [(node.target, node.value)]
        case ast.withitem() if node.optional_vars:
            pairs = [(node.optional_vars, node.context_expr)]
        case _:
            return
    for target, value in pairs:
        targets, values = [target], [value]
        if isinstance(target, ast.Tuple | ast.List):
            targets = target.elts
            same = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(targets)
            values = (
                value.elts
                if same and isinstance(value, ast.Tuple | ast.List)
                else [value] * len(targets)
            )
        for each, one in zip(targets, values, strict=True):
            if name := path_of(each):
                function.values.setdefault(name, []).append(one)
