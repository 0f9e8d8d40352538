"""Which file an import means, which function a call means, and what a name may hold."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator

from .metadata import Metadata
from .source import Class, Function, Import, Module, called, path_of, receiver

Symbol = Function | Class | Module
MAX_HOPS = 6  # aliases and re-exports followed


class Resolver:
    """Resolves names; results are cached."""

    def __init__(self, modules: Iterable[Module], metadata: Metadata) -> None:
        self.modules = {module.path: module for module in modules}
        self.metadata = metadata
        self.folders: set[str] = {""}
        self.bases: dict[str, set[str]] = {}
        for path in self.modules:
            folder, _, name = path.rpartition("/")
            self.bases.setdefault(name.removesuffix(".py"), set()).add(folder)
            while folder and folder not in self.folders:
                self.folders.add(folder)
                outer, _, name = folder.rpartition("/")
                self.bases.setdefault(name, set()).add(outer)
                folder = outer
        self._base: dict[tuple[str, str], str | None] = {}
        self._symbols: dict[tuple[str, str], Symbol | None] = {}
        self._callees: dict[ast.Call, list[Function]] = {}
        self._edges: dict[str, list[Module]] = {}
        self._callers: dict[Function, list[tuple[Function, ast.Call]]] | None = None
        self.unfollowed: dict[str, list[ast.Call]] = {}
        """Imports by a computed name whose file isn't known, by the file that holds them."""

    # Files

    def base(self, folder: str, first: str) -> str | None:
        """Folder from which `import first` is resolved in a file of `folder`."""
        key = (folder, first)
        if key not in self._base:
            self._base[key] = self._find_base(folder, first)
        return self._base[key]

    def _find_base(self, folder: str, first: str) -> str | None:
        places = self.bases.get(first)
        if not places:
            return None
        around = [folder]
        while around[-1]:
            around.append(around[-1].rpartition("/")[0])
        # A module of a package can import its siblings by bare names only if it is run as a script.
        packages = [each for each in around if f"{each}/__init__.py" in self.modules]
        roots = [each for each in around if each not in packages]
        if first in sys.stdlib_module_names and (folder in packages or folder not in places):
            return None
        for outer in (*roots, *packages):
            for candidate in (outer, f"{outer}/src".lstrip("/")):
                if candidate in places:
                    return candidate
        # A folder that a script adds to sys.path: accepted if only one folder has the name.
        return next(iter(places)) if len(places) == 1 else None

    def at(self, location: str) -> Module | None:
        """The file of a module or package, given as a path without ending."""
        return self.modules.get(f"{location}.py") or self.modules.get(
            f"{location}/__init__.py".lstrip("/")
        )

    def locate(self, module: Module, level: int, dotted: str) -> str | None:
        """Path without ending that an import means, or None if it isn't of this project."""
        folder = module.path.rpartition("/")[0]
        parts = dotted.split(".") if dotted else []
        if level:
            for _ in range(level - 1):
                folder = folder.rpartition("/")[0]
            return "/".join(part for part in (folder, *parts) if part)
        base = self.base(folder, parts[0]) if parts else None
        if base is None:
            return None
        location = "/".join(part for part in (base, *parts) if part)
        found = self.at(location)
        return None if found is module or (not found and location not in self.folders) else location

    def edges(self, module: Module) -> list[Module]:
        """Files that a file imports, the packages around them too."""
        if module.path not in self._edges:
            found: dict[str, Module] = {}
            for location in self._locations(module):
                parts = location.split("/")
                for end in range(1, len(parts) + 1):
                    each = self.at("/".join(parts[:end]))
                    if (
                        each
                        and each is not module
                        and (end == len(parts) or each.path.endswith("__init__.py"))
                    ):
                        found[each.path] = each
            self._edges[module.path] = list(found.values())
        return self._edges[module.path]

    def _locations(self, module: Module) -> Iterator[str]:
        for node in module.import_nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if location := self.locate(module, 0, alias.name):
                        yield location
            elif (location := self.locate(module, node.level, node.module or "")) is not None:
                if location:
                    yield location
                for alias in node.names:
                    if self.at(inner := f"{location}/{alias.name}".lstrip("/")):
                        yield inner
        for call in module.all(ast.Call):
            name = module.dotted(call.func)
            if name in ("importlib.import_module", "__import__", "import_module"):
                yield from self._dynamic(module, call)
            elif name.endswith("instantiate") and "hydra" in name:
                yield from self._hydra_targets(module)

    def _dynamic(self, module: Module, call: ast.Call) -> Iterator[str]:
        """Files that `import_module(name)` may mean: a whole folder if the end is computed."""
        function = module.function_of(call)
        texts: list[str] = []
        is_known = False
        if call.args:
            values = [call.args[0]]
            if name := path_of(call.args[0]):
                values = [value for _, value in self.values(function, name)]
            for value in values:
                start, is_whole = start_of(value)
                level = len(start) - len(start.lstrip("."))
                parts = start.lstrip(".") if is_whole else start.lstrip(".").rpartition(".")[0]
                location = self.locate(module, level, parts) if start else None
                if location is None:
                    continue
                is_known = True
                inner = [path for path in self.modules if path.rpartition("/")[0] == location]
                texts += [location, *(path.removesuffix(".py") for path in inner if not is_whole)]
        if not is_known and not (call.args and isinstance(call.args[0], ast.Constant)):
            self.unfollowed.setdefault(module.path, []).append(call)
        yield from texts

    def _hydra_targets(self, module: Module) -> Iterator[str]:
        for setting in self.metadata.settings:
            if setting.key.endswith("_target_") and isinstance(setting.value, str):
                parts = setting.value
                while parts:
                    location = self.locate(module, 0, parts)
                    if location and self.at(location):
                        yield location
                        break
                    parts = parts.rpartition(".")[0]

    def closure(self, module: Module) -> list[Module]:
        """The file and all that it imports, directly or not."""
        found = {module.path: module}
        queue = [module]
        for each in queue:
            for other in self.edges(each):
                if other.path not in found:
                    found[other.path] = other
                    queue.append(other)
        return list(found.values())

    # Symbols

    def symbol(self, module: Module, written: str, hops: int = 0) -> Symbol | None:
        """The function, class or file of this project that `a.b.c` means in a file."""
        key = (module.path, written)
        if key not in self._symbols:
            self._symbols[key] = None  # breaks cycles of re-exports
            self._symbols[key] = self._find_symbol(module, written, hops)
        return self._symbols[key]

    def _find_symbol(self, module: Module, written: str, hops: int) -> Symbol | None:
        if hops > MAX_HOPS or not written:
            return None
        first, *rest = written.split(".")
        found: Symbol | None = module.top.get(first)
        if found is None and first in module.imports:
            found = self._imported(module, module.imports[first], hops)
        if found is None and first in module.script.values:
            for value in module.script.values[first]:
                if (alias := path_of(value)) and alias != written:
                    found = found or self.symbol(module, alias, hops + 1)
        if found is None and first not in module.imports:
            for node in module.import_nodes:
                if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                    location = self.locate(module, node.level, node.module or "")
                    other = self.at(location) if location else None
                    found = found or (self.symbol(other, first, hops + 1) if other else None)
        for part in rest:
            if isinstance(found, Module):
                found = self._member(found, part, hops)
            elif isinstance(found, Class):
                found = self.method(found, part)
            else:
                return None
        return found

    def _imported(self, module: Module, target: Import, hops: int) -> Symbol | None:
        location = self.locate(module, target.level, target.module)
        if location is None:
            return None
        if not target.name:
            return self.at(location)
        inner = self.at(f"{location}/{target.name}".lstrip("/"))
        holder = self.at(location)
        if (
            holder
            and holder is not module
            and (found := self.symbol(holder, target.name, hops + 1))
        ):
            return found
        return inner

    def _member(self, module: Module, name: str, hops: int) -> Symbol | None:
        if found := self.symbol(module, name, hops + 1):
            return found
        return self.at(f"{module.path.removesuffix('/__init__.py')}/{name}")

    def bases_of(self, cls: Class) -> list[Class]:
        """The project's own base classes, nearest first."""
        found: list[Class] = []
        queue = [cls]
        for each in queue:
            for base in each.node.bases:
                other = self.symbol(each.module, path_of(base))
                if isinstance(other, Class) and other not in queue:
                    queue.append(other)
                    found.append(other)
        return found

    def base_names(self, cls: Class) -> list[str]:
        """Full names of all base classes, those of libraries too."""
        return [
            each.module.dotted(base)
            for each in (cls, *self.bases_of(cls))
            for base in each.node.bases
        ]

    def is_network(self, cls: Class) -> bool:
        """Whether it is an nn.Module or a LightningModule."""
        names = self.base_names(cls)
        return any(
            name.endswith((".Module", "LightningModule")) or name == "Module" for name in names
        )

    def method(self, cls: Class, name: str) -> Function | None:
        """A method, its own or inherited."""
        return next(
            (each.methods[name] for each in (cls, *self.bases_of(cls)) if name in each.methods),
            None,
        )

    # Values and calls

    def owner(self, function: Function) -> Class | None:
        """The class whose `self` a function sees."""
        here: Function | None = function
        while here is not None:
            if here.owner:
                return here.owner
            here = here.parent
        return None

    def values(self, function: Function, written: str) -> list[tuple[Function, ast.expr]]:
        """What a name or `self.x` may hold where a function reads it."""
        owner = self.owner(function)
        if written.startswith(("self.", "cls.")) and owner:
            methods = [
                each for cls in (owner, *self.bases_of(owner)) for each in cls.methods.values()
            ]
            return [(each, value) for each in methods for value in each.values.get(written, ())]
        here: Function | None = function
        while here is not None:
            if written in here.values:
                return [(here, value) for value in here.values[written]]
            if written in here.parameters:
                return []
            here = here.parent
        guard = function.module.guard
        return [(guard, value) for value in guard.values.get(written, ())] if guard else []

    def constructors(self, function: Function, written: str) -> list[tuple[Class | None, str]]:
        """Classes whose instance a name may hold: of this project, or by their full name."""
        found: list[tuple[Class | None, str]] = []
        for where, value in self.values(function, written):
            if isinstance(value, ast.Await):
                value = value.value
            # `Net().to(device)`, `DDP(Net())`, `torch.compile(model)` wrap their argument.
            while (
                isinstance(value, ast.Call)
                and isinstance(value.func, ast.Attribute)
                and isinstance(value.func.value, ast.Call)
            ):
                value = value.func.value
            if not isinstance(value, ast.Call):
                continue
            symbol = self.symbol_in(where, path_of(value.func))
            if isinstance(symbol, Class):
                found.append((symbol, symbol.name))
            elif isinstance(symbol, Function):
                for returned in symbol.all(ast.Return):
                    if isinstance(returned.value, ast.Call):
                        inner = self.symbol_in(symbol, path_of(returned.value.func))
                        if isinstance(inner, Class):
                            found.append((inner, inner.name))
                        else:
                            found.append((None, symbol.module.dotted(returned.value.func)))
            else:
                found.append((None, where.module.dotted(value.func)))
        return found

    def symbol_in(self, function: Function, written: str) -> Symbol | None:
        """What a name means inside a function: its inner functions and aliases first."""
        if not written:
            return None
        here: Function | None = function
        while here is not None and here.name:
            for child in here.children:
                if child.name == written:
                    return child
            for value in here.values.get(written, ()):
                if (alias := path_of(value)) and alias != written:
                    return self.symbol(function.module, alias)
            here = here.parent
        return self.symbol(function.module, written)

    def callees(self, function: Function, call: ast.Call) -> list[Function]:
        """Functions of this project that a call runs; empty where that isn't known."""
        if call not in self._callees:
            self._callees[call] = self._find_callees(function, call)
        return self._callees[call]

    def _find_callees(self, function: Function, call: ast.Call) -> list[Function]:
        written = path_of(call.func)
        owner = self.owner(function)
        if not written:
            inner = call.func.value if isinstance(call.func, ast.Attribute) else None
            if isinstance(inner, ast.Call) and owner and path_of(inner.func) == "super":
                inherited = [each.methods.get(called(call)) for each in self.bases_of(owner)]
                return [each for each in inherited if each][:1]
            symbol = (
                self.symbol_in(function, path_of(inner.func))
                if isinstance(inner, ast.Call)
                else None
            )
            method = self.method(symbol, called(call)) if isinstance(symbol, Class) else None
            return [method] if method else []
        is_own = written.startswith("self.") and written.count(".") == 1
        if owner and is_own and (method := self.method(owner, called(call))):
            return [method]
        symbol = self.symbol_in(function, written)
        if isinstance(symbol, Class):
            method = self.method(symbol, "__init__")
            return [method] if method else []
        if isinstance(symbol, Function):
            return [symbol]
        # A method of an object, or an object that is called.
        name = called(call) if receiver(call) else ""
        found: list[Function] = []
        for holder, wanted in ((receiver(call), (name,)), (written, ("__call__", "forward"))):
            for cls, _ in self.constructors(function, holder) if holder else ():
                for each in wanted:
                    if cls and (method := self.method(cls, each)) and method not in found:
                        found.append(method)
        return found

    def callers(self, function: Function) -> list[tuple[Function, ast.Call]]:
        """Calls that run a function, as far as they are known."""
        if self._callers is None:
            self._callers = {}
            for module in self.modules.values():
                for caller in module.functions if module.is_reviewed else ():
                    for call in caller.all(ast.Call):
                        for callee in self.callees(caller, call):
                            self._callers.setdefault(callee, []).append((caller, call))
        return self._callers.get(function, [])


def start_of(value: ast.expr) -> tuple[str, bool]:
    """The constant prefix of a computed string, and whether it is the whole string."""
    match value:
        case ast.Constant(value=str(text)):
            return text, True
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            return text, False
        case ast.BinOp(left=left):
            return start_of(left)[0], False
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
            return text.partition("{")[0], False
        case _:
            return "", False
