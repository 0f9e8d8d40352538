"""Checks of seeds, splits and generators."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from ..entries import Entry
from ..findings import Category, Finding, Rule, Stage
from ..project import Project
from ..source import Class, Function, Module, called, keyword, path_of, receiver
from ..torch_code import HELD_OUT, last_names
from .check import Check, finding, is_optimizing_inputs, is_trial, searched, takes_options
from .examples import EPOCHS, OPTIONS

SAVE = 'torch.save(model.state_dict(), "/tmp/model.pt")\n'
NO_SEED = Rule(
    id="ML108",
    title="No seed is set",
    category=Category.NOT_REPEATABLE,
    stage=Stage.PROTOTYPE,
    why="Initial weights, shuffling and dropout differ in each run, so a change of the score "
    "can't be told "
    "from luck, and a bad run can't be repeated to look into it.",
    source="https://pytorch.org/docs/stable/notes/randomness.html",
    fix="Set the seeds of `random`, NumPy and the framework at the start, from the config, and "
    "log the seed.",
    verify="Two runs of ten steps with the same seed print the same loss.",
    bad=OPTIONS.replace("torch.manual_seed(0)\n", "") + EPOCHS + SAVE,
    good=OPTIONS + EPOCHS + SAVE,
    lines_to_fix=2,
    is_default=False,
)
SPLIT = Rule(
    id="ML109",
    title="Data is split by chance, without a seed",
    category=Category.NOT_REPEATABLE,
    stage=Stage.PROTOTYPE,
    why="Each run, each process of a distributed run and each resumed run draws another split: "
    "scores can't "
    "be compared, and after resuming the held-out examples have been trained on.",
    source="https://pytorch.org/docs/stable/data.html#torch.utils.data.random_split",
    fix="Pass `generator=torch.Generator().manual_seed(seed)` to `random_split`, or "
    "`random_state=seed` to "
    "scikit-learn; better, store the split in a file.",
    verify="The indices of the held-out part are the same in two runs.",
    bad="""\
import torch
from torch.utils.data import TensorDataset, random_split

examples = TensorDataset(torch.arange(10))
train, held_out = random_split(examples, [8, 2])
print(held_out.indices)
""",
    good="""\
import torch
from torch.utils.data import TensorDataset, random_split

examples = TensorDataset(torch.arange(10))
train, held_out = random_split(examples, [8, 2], generator=torch.Generator().manual_seed(0))
print(held_out.indices)
""",
    lines_to_fix=1,
    is_default=False,
)
NO_SET_EPOCH = Rule(
    id="ML113",
    title="A distributed run sees the same order in every epoch",
    category=Category.WRONG_RESULT,
    stage=Stage.EXPLORATION,
    why="`DistributedSampler` shuffles with its seed plus the epoch, and the epoch stays 0 until "
    "`set_epoch` is called: all epochs have the same order and the same share for each process.",
    source="https://pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler",
    fix="Call `sampler.set_epoch(epoch)` at the start of each epoch.",
    verify="`list(sampler)` differs between the first and the second epoch.",
    bad="""\
import torch
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

train_set = TensorDataset(torch.arange(10))
sampler = DistributedSampler(train_set, num_replicas=2, rank=0)
loader = DataLoader(train_set, sampler=sampler)
for epoch in range(2):
    print([batch for batch in loader])
""",
    good="""\
import torch
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

train_set = TensorDataset(torch.arange(10))
sampler = DistributedSampler(train_set, num_replicas=2, rank=0)
loader = DataLoader(train_set, sampler=sampler)
for epoch in range(2):
    sampler.set_epoch(epoch)
    print([batch for batch in loader])
""",
    lines_to_fix=1,
    is_default=False,
)
COPIED_GENERATOR = Rule(
    id="ML114",
    title="Each worker of a loader draws the same random numbers",
    category=Category.WRONG_RESULT,
    stage=Stage.EXPLORATION,
    why="A generator made in `Dataset.__init__` is copied to each worker with its state. "
    "Measured with 4 "
    "workers and 16 draws: 4 different values, and the second epoch repeats the first. (The "
    "global generators "
    "are seeded for each worker by PyTorch.)",
    source="https://pytorch.org/docs/stable/notes/faq.html#dataloader-workers-random-seed",
    fix="Draw from torch's global generator in `__getitem__`, or make the generator there from a "
    "seed and the index.",
    verify="The draws of one epoch with four workers are all different, and differ from the next "
    "epoch's.",
    bad="""\
import numpy as np
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset):
    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> float:
        return self.generator.normal()


if __name__ == "__main__":
    print(list(DataLoader(Noisy(), num_workers=4)))
""",
    good="""\
import numpy as np
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset):
    def __init__(self) -> None:
        self.seed = 0

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> float:
        return np.random.default_rng((self.seed, index)).normal()


if __name__ == "__main__":
    print(list(DataLoader(Noisy(), num_workers=4)))
""",
    lines_to_fix=3,
    is_default=False,
)


@lru_cache(maxsize=100_000)
def sets_seed(module: Module) -> bool:
    """Whether a file seeds a generator, or passes a seed to something that does."""
    for call in module.all(ast.Call):
        name = called(call)
        if "seed" in name.lower() and name not in ("get_seed", "initial_seed"):
            return True
        dotted = module.dotted(call.func)
        if dotted in ("jax.random.PRNGKey", "jax.random.key") or name in (
            "PRNGKey",
            "PRNGSequence",
            "Rngs",
        ):
            return True
        if (
            name in ("default_rng", "RandomState", "Random", "Generator")
            and call.args
            and "random" in dotted
        ):
            return True
        for option in ("random_state", "seed"):
            value = keyword(call, option)
            if value is not None and not (isinstance(value, ast.Constant) and value.value is None):
                return True
    for node in module.all(ast.Assign):
        # `cfg.random_seed = 0` for a framework that reads it
        for each in node.targets:
            if (
                isinstance(each, ast.Attribute)
                and "seed" in each.attr
                and not path_of(each).startswith("self.")
            ):
                return True
    return False


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
        if kinds <= {"TensorFlow"} and not any(makes_by_chance(module) for module in entry.closure):
            continue
        first = (entry.loops or entry.training)[0]
        if first.call in seen:
            continue  # two programs that share one loop
        seen.add(first.call)
        yield finding(
            NO_SEED,
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
def makes_by_chance(module: Module) -> bool:
    """Whether a file of TensorFlow makes weights or batches by chance; variables may be zeros."""
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
                SPLIT,
                function,
                call,
                f"`{called(call)}` draws another split in each run",
                f"no generator or random_state is passed, and no seed is set in {len(files)} "
                "file(s) that run with it",
            )


@lru_cache(maxsize=100_000)
def sets_global_seed(module: Module) -> bool:
    """Whether a file seeds a global generator, which splits without a generator use."""
    for call in module.all(ast.Call):
        if "seed" in called(call).lower() and "generator" not in module.dotted(call.func).lower():
            return True
    return False


def is_unseeded_split(function: Function, call: ast.Call) -> bool:
    """Whether a call splits data by chance, and is given no seed."""
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
    is_unseeded = state is None or (isinstance(state, ast.Constant) and state.value is None)
    shuffle = keyword(call, "shuffle")
    if name == "train_test_split":
        return is_unseeded and not (isinstance(shuffle, ast.Constant) and shuffle.value is False)
    if name in ("KFold", "StratifiedKFold"):
        return is_unseeded and isinstance(shuffle, ast.Constant) and shuffle.value is True
    return name in ("ShuffleSplit", "StratifiedShuffleSplit", "GroupShuffleSplit") and is_unseeded


def never_sets_epoch(project: Project) -> Iterator[Finding]:
    """DistributedSampler for training in an entry point that never calls set_epoch."""
    seen: set[ast.Call] = set()
    for entry in project.entries:
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
                ):
                    seen.add(call)
                    if is_for_training(function, call):
                        yield finding(
                            NO_SET_EPOCH,
                            function,
                            call,
                            "the sampler shuffles alike in every epoch: set_epoch is never called",
                            epochs_evidence(entry),
                        )


@lru_cache(maxsize=100_000)
def mentions_set_epoch(module: Module) -> bool:
    """Whether a file calls set_epoch."""
    return any(each.attr == "set_epoch" for each in module.all(ast.Attribute))


def epochs_evidence(entry: Entry) -> str:
    """What was searched for set_epoch."""
    if entry.training:
        return searched(entry)
    return f"no set_epoch in {entry.module.path} and what it imports ({len(entry.closure)} files)"


def is_for_training(function: Function, call: ast.Call) -> bool:
    """Whether a sampler shuffles, and isn't named after held-out data."""
    shuffle = keyword(call, "shuffle")
    if isinstance(shuffle, ast.Constant) and shuffle.value is False:
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
    is_single = all(
        each is None or (isinstance(each, ast.Constant) and each.value == 0) for each in workers
    )
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
                        COPIED_GENERATOR,
                        made,
                        value,
                        f"`{target}` is copied to each worker, and all draw the same numbers",
                        f"made in {cls.name}.__init__ and used in __getitem__; "
                        + (
                            f"{len(loaders)} DataLoader(s) in the project"
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


CHECKS = (
    Check(NO_SEED, trains_without_seed),
    Check(SPLIT, splits_without_seed),
    Check(NO_SET_EPOCH, never_sets_epoch),
    Check(COPIED_GENERATOR, copies_generator),
)
