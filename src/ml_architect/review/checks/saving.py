"""Checks of how checkpoints are written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from ..entries import Entry
from ..findings import Finding
from ..project import Project
from ..source import Class, Function, Module, called, path_of, receiver
from ..torch_code import (
    OPTIMIZER,
    PROGRESS,
    Save,
    in_order,
    kind_of_state,
    known_epochs,
    last_names,
    loops_around,
    number_of,
    saves,
    trace,
)
from .check import (
    finding,
    is_optimizing_inputs,
    is_trial,
    plays_games,
    searched,
    takes_options,
)

# Images, logs and settings: not what was trained.
NO_MODEL = re.compile(
    r"savefig|save_?(image|img|video|fig|plot|gif|audio|wav|hyperparam|config|args|log|metric|result|history|sample|prediction|csv|txt|json|html|text|dataset|for_backward)|savetxt|imsave",
    re.IGNORECASE,
)
KEEPS = re.compile(
    r"save|checkpoint|(^|_)ckpt|export|write_(model|weights)|log_model|push_to_hub|torchscript",
    re.IGNORECASE,
)
DUMPS = {
    "pickle.dump", "joblib.dump", "dill.dump", "cloudpickle.dump", "pickle.dumps", "torch.save",
}  # fmt: skip
FIELD = re.compile(r"\{\d*\}|%[\d.]*[dsf]")  # of `"{}".format(…)` and `"%d" %`
# A copy is another file to resume from.
REPLACES = {"replace", "rename", "move", "renames", "copyfile", "copy", "copy2"}


def is_model_save(module: Module, call: ast.Call) -> bool:
    """Whether a call may save what was trained."""
    name = called(call)
    dotted = module.dotted(call.func)
    if dotted in DUMPS:
        return True
    if dotted.startswith(
        ("matplotlib", "numpy.", "PIL.", "torchvision.", "cv2.", "imageio")
    ) or NO_MODEL.search(name):
        return dotted in ("numpy.save", "numpy.savez", "jax.numpy.save", "jax.numpy.savez")
    if name == "save" and re.search(
        r"(^|[._])(im|img|image|fig|plt|writer|gif|anim|ani|canvas)\d*$", receiver(call)
    ):
        return False
    return bool(KEEPS.search(name))


@lru_cache(maxsize=100_000)
def keeps_model(module: Module) -> bool:
    """Whether a file may save what was trained."""
    return any(is_model_save(module, call) for call in module.all(ast.Call))


def saves_nothing(project: Project) -> Iterator[Finding]:
    """Entry points with a training loop of their own and nothing that may save its result."""
    seen: set[ast.Call] = set()
    for entry in project.training_entries:
        if not entry.loops or any(not each.is_own_loop for each in entry.training):
            continue
        if not any(loops_around(project, each.function, each.call) for each in entry.loops):
            continue
        if entry.module.is_notebook or any(keeps_model(module) for module in entry.closure):
            continue  # a notebook's process stays
        epochs = known_epochs(project, entry)
        if (epochs is not None and epochs <= 10) or is_optimizing_inputs(entry):
            continue
        if not takes_options(entry) or is_short(project, entry):
            continue
        if is_trial(entry) or plays_games(entry):
            continue
        first = entry.loops[0]
        if first.call in seen:
            continue  # two programs that share one loop
        seen.add(first.call)
        length = f"{epochs} epochs" if epochs else "a loop of unknown length"
        yield finding(
            "ML106",
            first.function,
            first.call,
            f"{entry.module.path} trains ({length}) and saves nothing",
            searched(entry) + "; no call whose name says save, checkpoint, export or dump",
        )


SHORT = 1000  # steps: a few minutes at most


def is_short(project: Project, entry: Entry) -> bool:
    """Whether all loops that train have known bounds and few steps."""
    for training in entry.loops:
        steps = 1
        for function, loop in loops_around(project, training.function, training.call):
            bound = loop.iter if isinstance(loop, ast.For) else None
            is_range = isinstance(bound, ast.Call) and called(bound) in ("range", "trange")
            if not (isinstance(bound, ast.Call) and is_range and bound.args):
                return False
            number = number_of(project, entry, function, bound.args[-1])
            if number is None:
                return False
            steps *= number
        if steps > SHORT:
            return False
    return True


def resumable(project: Project, entry: Entry) -> list[Save]:
    """Checkpoints with an optimizer's state that an entry point writes."""
    return [
        each
        for each in saves(project)
        if each.function in entry.reached and "optimizer" in each.kinds(project)
    ]


def overwrites_in_place(project: Project) -> Iterator[Finding]:
    """A loop that writes its one resumable checkpoint to one path."""
    seen: set[ast.Call] = set()
    for entry in project.training_entries:
        found = resumable(project, entry)
        inside = [each for each in found if epochs_around(project, each)]
        if not inside or any(varies(project, each) for each in found):
            continue
        paths = {
            ast.dump(value)
            for each in inside
            if each.path
            for _, value in trace(project, each.function, each.path)
        }
        if len(paths) > 1:
            continue  # the last and the best: one of them survives
        for each in inside:
            if each.call in seen or is_moved(project, each):
                continue
            seen.add(each.call)
            loop_function, loop = epochs_around(project, each)[0]
            at = loop_function.module.place(loop)
            yield finding(
                "ML105",
                each.function,
                each.call,
                "the only checkpoint to resume from is overwritten in place",
                f"written in the loop at {at} to a path that doesn't change; "
                "no os.replace, rename or move beside it, and no other resumable checkpoint",
            )


def epochs_around(
    project: Project, save: Save
) -> list[tuple[Function, ast.For | ast.AsyncFor | ast.While]]:
    """Loops around a checkpoint, without those over the optimizers that it holds."""
    return [
        (function, loop)
        for function, loop in loops_around(project, save.function, save.call)
        if isinstance(loop, ast.While)
        or not any(OPTIMIZER.search(name) for name in last_names(loop.iter))
    ]


def varies(project: Project, save: Save) -> bool:
    """Whether a checkpoint's path may differ from one time to the next."""
    if save.path is None:
        return True
    loops = loops_around(project, save.function, save.call)
    targets = {
        name
        for _, loop in loops
        if not isinstance(loop, ast.While)
        for name in last_names(loop.target)
    }
    found = trace(project, save.function, save.path)
    for function, value in list(found):  # the folder may be another one for each checkpoint
        for name in (each for each in ast.walk(value) if isinstance(each, ast.Name)):
            is_whole = not isinstance(function.module.parents.get(name), ast.Attribute)
            if is_whole and name.id in function.parameters:
                found += trace(project, function, name)
    for function, value in found:
        names = last_names(value)
        inner = {
            name
            for each in names
            for _, other in project.resolver.values(function, each)
            for name in last_names(other)
        }
        if (names | inner) & targets or any(
            PROGRESS.search(name.lower()) for name in names | inner
        ):
            return True
        if any(PROGRESS.search(text) or FIELD.search(text) for text in texts_in(value)):
            return True
        calls = [each for each in ast.walk(value) if isinstance(each, ast.Call)]
        if any(
            called(call) not in ("join", "Path", "str", "format", "expanduser") for call in calls
        ):
            return True  # a path that is computed elsewhere
        if isinstance(value, ast.Name) and value.id in function.parameters:
            return True  # a path that callers unknown to us pass
    return False


def texts_in(value: ast.expr) -> list[str]:
    """Constants in an expression, as strings."""
    return [str(each.value) for each in ast.walk(value) if isinstance(each, ast.Constant)]


def is_moved(project: Project, save: Save) -> bool:
    """Whether the function, or its caller, renames files: it writes to a temporary name."""
    near = [save.function, *(caller for caller, _ in project.resolver.callers(save.function))]
    owner = project.resolver.owner(save.function)
    near += owner.methods.values() if owner else []
    for function in near:
        for call in function.all(ast.Call):
            if called(call) in REPLACES and (
                len(call.args) == 1 or receiver(call) in ("os", "shutil", "fs")
            ):
                return True
    if save.path is None:
        return False
    values = [value for _, value in trace(project, save.function, save.path)]
    names = {name.lower() for value in values for name in last_names(value)}
    texts = [text for value in values for text in texts_in(value)]
    return any(re.search(r"te?mp|buffer|partial", name) for name in names) or any(
        re.search(r"te?mp([_.-]|$)|\.part", text) for text in texts
    )


RESUMES = re.compile(
    r"resume|start_(epoch|iter|step)|last_epoch|begin_epoch|initial_epoch|epochs?_(run|start)|continue",
    re.IGNORECASE,
)


def lacks_optimizer(project: Project) -> Iterator[Finding]:
    """Checkpoints in a loop, in code that resumes, that hold the model and never the optimizer."""
    seen: set[ast.Call] = set()
    for entry in project.training_entries:
        if not entry.loops or any(not each.is_own_loop for each in entry.training):
            continue
        mine = [each for each in saves(project) if each.function in entry.reached]
        everywhere = [each for each in saves(project) if each.function.module in entry.files]
        if any(
            "optimizer" in each.kinds(project) or is_unknown(project, each) for each in everywhere
        ):
            continue
        if any(saves_state(module) for module in entry.closure):
            continue
        inside = [
            each
            for each in mine
            if "model" in each.kinds(project) and loops_around(project, each.function, each.call)
        ]
        resumes = next((each for each in in_order(entry.reached) if resume_name(each)), None)
        epochs = known_epochs(project, entry)
        if (
            not inside
            or resumes is None
            or inside[0].call in seen
            or (epochs is not None and epochs <= 10)
        ):
            continue
        seen.add(inside[0].call)
        yield finding(
            "ML107",
            inside[0].function,
            [each.call for each in inside if each.function is inside[0].function],
            "checkpoints hold the model and not the optimizer, and training resumes from them",
            f"`{resume_name(resumes)}` in {resumes.module.path} suggests that it resumes; no "
            "optimizer.state_dict() is "
            "saved; " + searched(entry),
        )


def resume_name(function: Function) -> str:
    """A name that suggests resuming, in a function that loads weights."""
    attributes = {each.attr for each in function.all(ast.Attribute)}
    if "load_state_dict" not in attributes:
        return ""
    strings = {
        each.value
        for each in function.all(ast.Constant)
        if isinstance(each.value, str) and len(each.value) < 40
    }
    names = sorted(attributes | function.names | set(function.values) | strings)
    return next((name for name in names if RESUMES.search(name)), "")


def is_unknown(project: Project, save: Save) -> bool:
    """Whether a checkpoint contains something unknown."""
    for _, _, value in save.entries:
        if isinstance(value, ast.DictComp | ast.Starred):
            return True
        is_variable = isinstance(value, ast.Name | ast.Attribute)
        if is_variable and re.search(
            r"state|checkpoint|ckpt|snapshot|save_dict|content", path_of(value).lower()
        ):
            return True
        plain = ("state_dict", "dict", "int", "float", "str", "vars")
        calls = [each for each in ast.walk(value) if isinstance(each, ast.Call)]
        is_call = isinstance(value, ast.Call) and called(value) not in plain
        if is_call and not any(called(each) == "state_dict" for each in calls):
            return True
    return False


@lru_cache(maxsize=100_000)
def saves_state(module: Module) -> bool:
    """Whether an optimizer's state is read anywhere, or a launcher saves everything."""
    for call in module.all(ast.Call):
        if called(call) in ("save_state", "save_checkpoint") and re.search(
            r"accelerator|fabric|engine|model_engine", receiver(call)
        ):
            return True
        if called(call) == "state_dict" and "opt" in receiver(call).lower():
            return True
    return False


def saves_whole_module(project: Project) -> Iterator[Finding]:
    """torch.save of a network itself."""
    for save in saves(project):
        if save.function.module.dotted(save.call.func) != "torch.save":
            continue  # Fabric takes modules and saves their state
        entries = {ast.dump(value): (function, key, value) for function, key, value in save.entries}
        for function, key, value in entries.values():
            if not isinstance(value, ast.Name | ast.Attribute) or kind_of_state(
                project, function, path_of(value)
            ):
                continue
            written = path_of(value)
            makers = project.resolver.constructors(function, written)
            is_network = any(
                (isinstance(cls, Class) and project.resolver.is_network(cls))
                or name.startswith("torch.nn.")
                for cls, name in makers
            )
            acts = {called(call) for call in function.all(ast.Call) if receiver(call) == written}
            if is_network or acts & {"parameters", "eval", "train", "state_dict", "zero_grad"}:
                yield finding(
                    "ML205",
                    save.function,
                    save.call,
                    f"`{written}` is saved as a whole" + (f" under {key!r}" if key else ""),
                    f"`{written}` is a network: it is "
                    + (
                        f"made by {makers[0][1]}"
                        if makers
                        else f"used by {', '.join(sorted(acts))}()"
                    ),
                )


CHECKS = {
    "ML105": overwrites_in_place,
    "ML106": saves_nothing,
    "ML107": lacks_optimizer,
    "ML205": saves_whole_module,
}
