"""Entry points: where a project starts, what each reaches, and which of them train."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from .findings import Place
from .resolve import Resolver
from .source import Class, Definition, Function, Module, called, path_of
from .training import CALLED_BY_FRAMEWORK, Training

COMMANDS = re.compile(
    r"(^|\.)(hydra\.main|click\.(command|group)|command|group|callback|hydra_runner|flow|call_parse)$"
)
HIDDEN_STEP = re.compile(r"^(on_|__)")
QUIET = {
    "append", "insert", "filterwarnings", "basicConfig", "getLogger", "register", "simplefilter",
    "seed",
}  # fmt: skip


@dataclass(eq=False)
class Entry:
    """A way to start the project."""

    module: Module
    how: str
    """How it is started, for a reader: `if __name__ == "__main__"`."""
    start: Function
    closure: list[Module]
    """The file and all that it imports: where an "is never done" is searched."""
    reached: set[Function] = field(default_factory=set[Function])
    training: list[Training] = field(default_factory=list[Training])
    unfollowed: list[Place] = field(default_factory=list[Place])
    """Imports by a computed name that could not be followed."""

    @property
    def loops(self) -> list[Training]:
        """Training in loops of the project's own."""
        return [each for each in self.training if each.is_own_loop]

    @cached_property
    def files(self) -> frozenset[Module]:
        """The closure, to ask whether a file is in it."""
        return frozenset(self.closure)

    def functions(self) -> list[Function]:
        """All functions of the closure."""
        return [function for module in self.closure for function in module.functions]

    @property
    def place(self) -> Place:
        """Where it starts."""
        return self.module.place(self.start.node)


@dataclass
class References:
    """What a function mentions."""

    symbols: list[Function | Class]
    attributes: set[str]
    registries: list[Module]
    """Files out of which it fetches classes by a computed name."""
    is_registry: bool
    """Whether it fetches classes out of a file that its callers name."""
    files: list[Module]
    """Files that it passes to other functions."""


class Reach:
    """Functions that may run from a start; a method call counts for every instantiated class."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver
        self._references: dict[Function, References] = {}

    def references(self, function: Function) -> References:
        """What a function mentions; cached."""
        if function not in self._references:
            module = function.module
            names = set(function.names)
            attributes: set[str] = set()
            for node in function.all(ast.Attribute):
                attributes.add(node.attr)
                if (written := path_of(node)) and not written.startswith("self."):
                    names.add(written)
            symbols = [self.resolver.symbol_in(function, name) for name in sorted(names)]
            registries: list[Module] = []
            files: list[Module] = []
            is_registry = False
            for call in function.all(ast.Call):
                held = [self.resolver.symbol_in(function, path_of(each)) for each in call.args]
                is_fetch = path_of(call.func) == "getattr" and len(call.args) > 1
                if not is_fetch:
                    files += [each for each in held if isinstance(each, Module)]
                elif not isinstance(call.args[1], ast.Constant):
                    registries += [each for each in held[:1] if isinstance(each, Module)]
                    is_registry |= path_of(call.args[0]) in function.parameters
            kept = [each for each in symbols if each is not None and not isinstance(each, Module)]
            if isinstance(
                function.node, ast.Module
            ):  # a decorated class may be fetched from a registry
                kept += [each for each in module.classes if each.node.decorator_list]
                kept += [
                    each
                    for each in module.top.values()
                    if isinstance(each, Function) and is_command(each)
                ]
                if module.is_notebook:  # a cell may define a name again: both run
                    kept += [each for each in function.children if each.name in names]
            if "app.run" in names or "tf.app.run" in names or "compat.v1.app.run" in names:
                kept += [each for name, each in module.top.items() if name == "main"]
            self._references[function] = References(
                kept, attributes, registries, is_registry, files
            )
        return self._references[function]

    def run(self, start: list[Function], closure: list[Module]) -> set[Function]:
        """Functions that may run."""
        reached: set[Function] = set()
        live: set[Class] = set()
        wanted = {"__call__", "forward", "__init__", "__enter__", "__iter__", "__post_init__"}
        waiting: dict[str, list[Function]] = defaultdict(list)
        is_open = False
        files: set[Module] = set()
        fetched: set[Module] = set()
        # What imports run, except each file's own `if __name__ …`.
        queue = [*start, *(module.script for module in closure)]

        def make(cls: Class) -> None:
            if cls in live:
                return
            live.add(cls)
            for each in (cls, *self.resolver.bases_of(cls)):
                live.add(each)
                for name, method in each.methods.items():
                    is_called = (
                        name in wanted or HIDDEN_STEP.match(name) or CALLED_BY_FRAMEWORK.match(name)
                    )
                    if is_called:
                        queue.append(method)
                    else:
                        waiting[name].append(method)

        while queue:
            function = queue.pop()
            if function in reached:
                continue
            reached.add(function)
            queue.extend(child for child in function.children if function.name and not child.owner)
            found = self.references(function)
            for symbol in found.symbols:
                if isinstance(symbol, Class):
                    make(symbol)
                else:
                    queue.append(symbol)
            for name in found.attributes - wanted:
                wanted.add(name)
                queue.extend(waiting.pop(name, ()))
            files.update(found.files)
            is_open = is_open or found.is_registry
            opened = {*found.registries, *(files if is_open else ())} - fetched
            fetched |= opened
            for module in opened:
                # Its own names, and those that a package's `__init__` gathers.
                for name in (*module.top, *module.imports):
                    symbol = self.resolver.symbol(module, name)
                    if isinstance(symbol, Class):
                        make(symbol)
                    elif isinstance(symbol, Function):
                        queue.append(symbol)
        return reached


def find_entries(resolver: Resolver, training: dict[Module, list[Training]]) -> list[Entry]:
    """Entry points in the order of their paths."""
    modules = [module for module in resolver.modules.values() if module.is_reviewed]
    imported = {each.path for module in modules for each in resolver.edges(module)}
    reach = Reach(resolver)
    entries: list[Entry] = []
    for module in sorted(modules, key=lambda each: each.path):
        for how, start in starts(module, resolver, training, imported):
            closure = resolver.closure(module)
            entry = Entry(module, how, start, closure)
            begin = [start, module.script, *([module.guard] if module.guard else [])]
            entry.reached = reach.run(begin, closure)
            found = [each for file in closure for each in training.get(file, ())]
            entry.training = [each for each in found if each.function in entry.reached]
            if not any("step" in reach.references(each).attributes for each in entry.reached):
                # A backward pass alone computes gradients: an attribution, an attack, a test.
                entry.training = [each for each in entry.training if each.kind != "PyTorch"]
            entry.unfollowed = [
                file.place(call)
                for file in closure
                for call in resolver.unfollowed.get(file.path, ())
            ]
            if how == "script" and not entry.training and not works(module.script):
                continue
            entries.append(entry)
    return entries


def starts(
    module: Module, resolver: Resolver, training: dict[Module, list[Training]], imported: set[str]
) -> list[tuple[str, Function]]:
    """Ways to start a file: at most one, but one more for each command of the metadata."""
    if module.is_notebook:
        return [("notebook", module.script)]
    if module.guard:
        return [('if __name__ == "__main__"', module.guard)]
    for target, path in resolver.metadata.scripts:
        dotted, _, name = target.partition(":")
        location = resolver.locate(module, 0, dotted) or dotted.replace(".", "/")
        owned = module.path.removesuffix(".py").removesuffix("/__init__")
        function = module.top.get(name.partition(".")[0])
        if owned in (location, f"src/{location}") or resolver.at(location) is module:
            start = function if isinstance(function, Function) else module.script
            return [(f"script {target} of {path}", start)]
    for function in module.functions:
        if is_command(function):
            return [(f"command {function.name}", function)]
    if module.path.endswith("__main__.py"):
        return [("python -m", module.script)]
    trains_at_import = any(each.function is module.script for each in training.get(module, ()))
    if trains_at_import or module.path not in imported:
        name = module.path.rpartition("/")[2]
        return (
            []
            if name in ("__init__.py", "setup.py", "conftest.py")
            else [("script", module.script)]
        )
    return []


def is_command(function: Function) -> bool:
    """Whether a decorator makes it a command of hydra, click, typer or prefect."""
    if not isinstance(function.node, Definition):
        return False
    for decorator in function.node.decorator_list:
        node = decorator.func if isinstance(decorator, ast.Call) else decorator
        if COMMANDS.search(function.module.dotted(node)):
            return True
    return False


def works(script: Function) -> bool:
    """Whether a file does something when it is run: calls something other than to set up names."""
    tree = script.module.tree
    for statement in tree.body:
        if isinstance(statement, ast.For | ast.While):
            return True
        call = statement.value if isinstance(statement, ast.Expr) else None
        if isinstance(call, ast.Call) and called(call) not in QUIET:
            return True
    return False
