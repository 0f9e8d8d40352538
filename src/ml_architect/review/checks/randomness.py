"""Checks of seeds, splits and generators."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from ..findings import Finding, count
from ..project import Project
from ..source import Class, Function, Module, called, is_constant, keyword, path_of, receiver
from ..torch_code import HELD_OUT, last_names
from .check import finding, is_optimizing_inputs, is_trial, searched, takes_options

# A generator of its own, whose seed says nothing about the global ones.
PRIVATE = re.compile(r"generator|randomstate|default_rng|\brandom\(")


def seeds_globally(function: Function, call: ast.Call) -> bool:
    """Whether a call seeds a global generator, and not one such as `torch.Generator()`."""
    name = called(call)
    if "seed" not in name.lower() or name in ("get_seed", "initial_seed"):
        return False
    made = function.values.get(receiver(call), ())
    return not any(PRIVATE.search(ast.unparse(each).lower()) for each in (call.func, *made))


@lru_cache(maxsize=100_000)
def sets_global_seed(module: Module) -> bool:
    """Whether a file seeds a global generator."""
    return any(
        seeds_globally(function, call)
        for function in module.functions
        for call in function.all(ast.Call)
    )


@lru_cache(maxsize=100_000)
def sets_seed(module: Module) -> bool:
    """Whether a file seeds a global generator, or passes a seed to something that may do so."""
    if sets_global_seed(module):
        return True
    for call in module.all(ast.Call):
        name = called(call)
        if name in ("PRNGKey", "PRNGSequence", "Rngs"):
            return True
        if module.dotted(call.func) == "jax.random.key":
            return True
        seed = keyword(call, "seed")
        is_given = seed is not None and not is_constant(seed, None)
        if is_given and not PRIVATE.search(f"{name.lower()}("):
            return True
    # `cfg.random_seed = 0` for a framework that reads it
    targets = (each for node in module.all(ast.Assign) for each in node.targets)
    return any(
        isinstance(each, ast.Attribute)
        and "seed" in each.attr
        and not path_of(each).startswith("self.")
        for each in targets
    )


def trains_without_seed(project: Project) -> Iterator[Finding]:
    """Entry points that train, with no seed in any file that they import."""
    seen: set[ast.Call] = set()
    for entry in project.training_entries:
        kinds = {each.kind for each in entry.training}
        if kinds & {"Hugging Face"} and not entry.loops:
            continue  # its TrainingArguments seed with 42
        if "Lightning" in kinds and project.metadata.has_key(r"seed"):
            continue
        if kinds <= {"scikit-learn"}:
            continue  # many of its models don't draw; an unseeded split is another finding
        if any(sets_seed(module) for module in entry.closure):
            continue
        if not takes_options(entry) or is_trial(entry) or is_optimizing_inputs(entry):
            continue
        if kinds <= {"TensorFlow"} and not any(draws_at_random(module) for module in entry.closure):
            continue
        first = (entry.loops or entry.training)[0]
        if first.call in seen:
            continue  # two programs that share one loop
        seen.add(first.call)
        yield finding(
            "ML108",
            first.function,
            first.call,
            f"{entry.module.path} trains ({first.kind}) without setting any seed",
            searched(entry),
        )


DRAWS = re.compile(
    r"random|shuffle|truncated|xavier|glorot|(?<!variables_)initializer|dropout|layers|dense|conv|next_batch",
    re.IGNORECASE,
)


@lru_cache(maxsize=100_000)
def draws_at_random(module: Module) -> bool:
    """Whether a file of TensorFlow draws weights or batches at random; variables may be zeros."""
    return any(DRAWS.search(module.dotted(call.func)) for call in module.all(ast.Call))


def splits_without_seed(project: Project) -> Iterator[Finding]:
    """random_split and its like without a generator, where no entry point sets a seed."""
    for module in project.modules:
        found: list[tuple[Function, ast.Call]] = [
            (function, call)
            for function in module.functions
            for call in function.all(ast.Call)
            if is_unseeded_split(function, call)
        ]
        if not found:
            continue
        entries = [entry for entry in project.entries if module in entry.files]
        files = {file for entry in entries for file in entry.closure} or set(
            project.resolver.closure(module)
        )
        if any(sets_global_seed(file) for file in files):
            continue
        for function, call in found:
            yield finding(
                "ML109",
                function,
                call,
                f"`{called(call)}` gives a different split in every run",
                "no generator or random_state is passed, and no global seed is set in "
                f"{count(len(files), 'file')} that it runs with",
            )


def is_unseeded_split(function: Function, call: ast.Call) -> bool:
    """Whether a call splits data at random, and gets no seed."""
    name = called(call)
    if any(each.arg is None for each in call.keywords):
        return False  # **options
    if name == "random_split":
        is_torch = "torch" in function.module.dotted(call.func) or not receiver(call)
        return is_torch and keyword(call, "generator") is None and len(call.args) < 3
    imports = function.module.imports.get(path_of(call.func).partition(".")[0])
    if not imports or not imports.module.startswith("sklearn"):
        return False
    state = keyword(call, "random_state")
    is_unseeded = state is None or is_constant(state, None)
    shuffle = keyword(call, "shuffle")
    if name == "train_test_split":
        return is_unseeded and not is_constant(shuffle, False)
    if name in ("KFold", "StratifiedKFold"):
        return is_unseeded and is_constant(shuffle, True)
    return name in ("ShuffleSplit", "StratifiedShuffleSplit", "GroupShuffleSplit") and is_unseeded


def never_sets_epoch(project: Project) -> Iterator[Finding]:
    """DistributedSampler for training in an entry point that never calls set_epoch."""
    seen: set[ast.Call] = set()
    for entry in project.training_entries or project.entries:
        if any(not each.is_own_loop for each in entry.training):
            continue  # Lightning and the Trainer of Hugging Face call it
        functions = entry.functions()
        if any(
            each.attr == "set_epoch"
            for function in functions
            for each in function.all(ast.Attribute)
        ):
            continue
        for function in functions:
            for call in function.all(ast.Call):
                if (
                    called(call) == "DistributedSampler"
                    and call not in seen
                    and function.module.is_reviewed
                    and function in entry.reached
                ):
                    seen.add(call)
                    if is_for_training(function, call):
                        yield finding(
                            "ML113",
                            function,
                            call,
                            "every epoch has the same order: set_epoch is never called",
                            f"no call of set_epoch; {searched(entry)}",
                        )


def is_for_training(function: Function, call: ast.Call) -> bool:
    """Whether a sampler shuffles, and isn't named after held-out data."""
    shuffle = keyword(call, "shuffle")
    if is_constant(shuffle, False):
        return False
    if shuffle is not None and not isinstance(shuffle, ast.Constant):
        return False
    target = function.module.parents.get(call)
    names = {function.name, *(last_names(call.args[0]) if call.args else ())}
    while target is not None and not isinstance(target, ast.stmt):
        target = function.module.parents.get(target)
    if isinstance(target, ast.Assign):
        names |= {name for each in target.targets for name in last_names(each)}
    return not any(HELD_OUT.search(name) for name in names if "train" not in name.lower())


GENERATORS = re.compile(r"(^|\.)(default_rng|RandomState|random\.Random|torch\.Generator)$")


def copies_generator(project: Project) -> Iterator[Finding]:
    """Datasets that make a generator in `__init__` and draw from it in `__getitem__`."""
    loaders = [
        call
        for function in project.functions
        for call in function.all(ast.Call)
        if called(call) == "DataLoader"
    ]
    workers = [keyword(call, "num_workers") for call in loaders]
    is_single = all(each is None or is_constant(each, 0) for each in workers)
    is_open = any(each.arg is None for call in loaders for each in call.keywords)
    if loaders and is_single and not is_open:
        return
    for module in project.modules:
        for cls in module.classes:
            names = project.resolver.base_names(cls)
            if not any(name.endswith("Dataset") for name in names):
                continue
            made = cls.methods.get("__init__")
            values = made.values.items() if made else ()
            for target, (value, *_) in values:
                is_generator = isinstance(value, ast.Call) and GENERATORS.search(
                    module.dotted(value.func)
                )
                if (
                    made
                    and is_generator
                    and target.startswith("self.")
                    and draws(project, cls, target)
                ):
                    yield finding(
                        "ML114",
                        made,
                        value,
                        f"`{target}` is copied to each worker, and all draw the same numbers",
                        f"made in {cls.name}.__init__ and used in __getitem__; "
                        + (
                            f"{count(len(loaders), 'DataLoader')} in the project"
                            if loaders
                            else "no DataLoader seen here"
                        ),
                    )


def draws(project: Project, cls: Class, target: str) -> bool:
    """Whether `__getitem__` draws, itself or by a method, from what is never made anew."""
    item = project.resolver.method(cls, "__getitem__")
    if item is None:
        return False
    methods = [item] + [
        callee for call in item.all(ast.Call) for callee in project.resolver.callees(item, call)
    ]
    others = [each for each in cls.methods.values() if each.name != "__init__"]
    if any(target in each.values for each in others) or any(
        "get_worker_info" in each.names for each in others
    ):
        return False
    return any(
        receiver(call) == target or any(path_of(each) == target for each in call.args)
        for each in methods
        for call in each.all(ast.Call)
    )


CHECKS = {
    "ML108": trains_without_seed,
    "ML109": splits_without_seed,
    "ML113": never_sets_epoch,
    "ML114": copies_generator,
}
