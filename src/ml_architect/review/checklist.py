"""The eight items of a review: answered by findings or figures, or handed back as questions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .findings import Finding, count, listed
from .project import Project
from .source import Definition, Function, Module, called, path_of, receiver, text_of

NUMBERS = ("math.", "numpy.", "torch.", "jax.", "scipy.", "tensorflow.math.")
"""Packages whose `log` is the logarithm."""


@dataclass(frozen=True)
class Answer:
    """The answer to one item; none of them says that all is well."""

    item: str
    kind: Literal["findings", "coverage", "question", "seen"]
    """`findings` of checks, figures of `coverage`, something that was `seen`, or a `question`."""
    text: str
    searched: str
    findings: tuple[Finding, ...] = ()


def answers(project: Project, findings: Iterable[Finding]) -> list[Answer]:
    """Answers to the eight items, in their order."""
    found = list(findings)
    return [
        validation(project),
        repeatable(project, pick(found, "ML108", "ML109", "ML113", "ML114")),
        checkpoints(project, pick(found, "ML102", "ML103", "ML104", "ML105", "ML106", "ML107")),
        small_scale(project),
        metrics(project),
        released(project, pick(found, "ML101", "ML110", "ML115", "ML306")),
        hints(project),
        docstrings(project),
    ]


def pick(findings: list[Finding], *ids: str) -> tuple[Finding, ...]:
    """Findings of some rules."""
    return tuple(each for each in findings if each.rule.id in ids)


def scope(project: Project) -> str:
    """What was read, in words."""
    files = count(len(project.modules), "file")
    if not project.training_entries:
        return f"{files}; no entry point that trains was found"
    return f"{files}; trains from {listed((e.module.path for e in project.training_entries), 3)}"


def first_call(project: Project, pattern: str, argument: str = "") -> str:
    """Place of the first call whose name matches, in what training imports, or "".

    With `argument`, one of the names among its arguments has to match that.
    """
    compiled = re.compile(pattern, re.IGNORECASE)
    entries = project.training_entries
    modules: dict[str, Module] = {file.path: file for entry in entries for file in entry.closure}
    for module in list(modules.values()) or project.modules:
        for call in module.all(ast.Call):
            name = module.dotted(call.func) or called(call)
            if not compiled.search(name) or (called(call) == "log" and name.startswith(NUMBERS)):
                continue
            if argument and not any(re.search(argument, each) for each in names_in(call)):
                continue
            return f"`{path_of(call.func) or called(call)}` at {module.place(call)}"
    return ""


def names_in(node: ast.AST) -> list[str]:
    """Names, attributes and strings in an expression."""
    names: list[str] = []
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            names.append(each.id)
        elif isinstance(each, ast.Attribute):
            names.append(each.attr)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            names.append(each.value)
    return names


def first_option(project: Project, pattern: str) -> str:
    """Place of the first command-line option or setting whose name matches, or ""."""
    compiled = re.compile(pattern, re.IGNORECASE)
    for module in project.modules:
        for call in module.all(ast.Call):
            if called(call) in ("add_argument", "Option", "option"):
                for text in (text_of(each) for each in call.args):
                    if compiled.search(text):
                        return f"option {text} at {module.place(call)}"
        for node in module.all(ast.AnnAssign):
            name = path_of(node.target)
            if compiled.search(name) and module.function_of(node) is module.script:
                return f"setting {name} at {module.place(node)}"
    setting = project.metadata.has_key(f"(?i){pattern}")
    return f"setting {setting.key} in {setting.path}" if setting else ""


def validation(project: Project) -> Answer:
    """Is data validated before expensive work?"""
    item = "Data is validated before expensive work"
    searched = f"calls named validate_…, check_…, and pandera, in {scope(project)}"
    pattern = (
        r"(^|[._])(validate|check)_?(data|dataset|schema|frame|df|split|input|example)"
        r"|(data|dataset|cache|schema|validator)\.(validate|check)$|pandera|great_expectations"
    )
    if seen := first_call(project, pattern):
        text = f"{seen}. Does it run before the model is built, and on all splits?"
        return Answer(item, "seen", text, searched)
    text = "No check of the data was recognized. "
    text += "What happens with an empty file, a missing column, a NaN?"
    return Answer(item, "question", text, searched)


def repeatable(project: Project, findings: tuple[Finding, ...]) -> Answer:
    """Are seeds set and configs logged?"""
    item = "Seeds are set and configs are logged"
    searched = f"seeds, and calls that store a config, in {scope(project)}"
    pattern = (
        r"(log|write|add)_?(hparams|hyperparams|params|config)|save_(config|args|hyperparameters)"
        r"|OmegaConf\.save|wandb\.init|hydra\.main"
    )
    config = r"(?i)(^|_)(config|cfg|args|opts?|options|params|hparams|settings|flags)$"
    logged = first_call(project, pattern)
    logged = logged or first_call(project, r"(yaml|json|toml|tomli_w)\.(safe_)?dumps?$", config)
    seed = first_call(project, r"seed|PRNGKey")
    text = f"seed: {seed or 'no call found'}; config: {logged or 'no call that stores it found'}"
    if findings:
        return Answer(item, "findings", text, searched, findings)
    if not project.training_entries or not (logged and seed):
        text += ". How would you repeat last week's run?"
        return Answer(item, "question", text, searched)
    text += ". Is the config stored with each run, and the commit?"
    return Answer(item, "seen", text, searched)


def checkpoints(project: Project, findings: tuple[Finding, ...]) -> Answer:
    """Is there a checkpoint for anything over ten minutes?"""
    item = "Anything over ten minutes is checkpointed"
    searched = f"calls that save or load, in {scope(project)}"
    saves = r"(^|\.)(save|save_checkpoint|save_state|save_model|ModelCheckpoint|CheckpointManager)$"
    loads = r"load_state_dict|load_checkpoint|restore|load_from_checkpoint|load_state"
    save = first_call(project, rf"{saves}|torch\.save")
    load = first_call(project, loads) or first_call(project, r"resume")
    text = f"saves: {save or 'no call found'}; loads: {load or 'no call found'}"
    if findings:
        return Answer(item, "findings", text, searched, findings)
    if not save or not load:
        text += ". How long does a run take, and what is left of it after a crash?"
        return Answer(item, "question", text, searched)
    text += ". Has a run been killed and resumed, with the same loss afterwards?"
    return Answer(item, "seen", text, searched)


def small_scale(project: Project) -> Answer:
    """Can it run at small scale?"""
    item = "It can run at small scale"
    searched = f"command-line options, fields and configuration files, in {scope(project)}"
    pattern = (
        r"debug|dry.?run|smoke|fast_dev_run|limit_(train|val)|max_(steps|samples|train|batches)"
        r"|max_iters|overfit|subset|num_samples|small|quick|tiny|(num_)?epochs"
    )
    if seen := first_option(project, pattern):
        text = (
            f"{seen}. With it, does everything, evaluation and saving too, run in under a minute?"
        )
        return Answer(item, "seen", text, searched)
    text = "No option for a small run was recognized. How do you try a change in a minute?"
    return Answer(item, "question", text, searched)


def metrics(project: Project) -> Answer:
    """Are the metrics logged that debugging needs?"""
    item = "Metrics that debugging needs are logged"
    searched = f"calls that log and the names in them, in {scope(project)}"
    searched += "; clipping alone doesn't count as logging"
    loggers = r"(^|\.)(log|log_metrics?|add_scalars?|write_scalars|log_dict|update_summary|scalar)$"
    wanted = {
        "learning rate": r"(^|_)(lr|learning_rate)($|_)|get_last_lr|LearningRateMonitor",
        "norm of the gradients": r"grad(ient)?s?_?norm|total_norm|gnorm",
        "non-finite values": r"isnan|isfinite|isinf|detect_anomaly|nan_to_num|terminate_on_nan",
        "examples per second": r"throughput|per.sec|samples_s|tokens_s|ips|it_s",
    }
    missing = [name for name, pattern in wanted.items() if not logs(project, name, pattern)]
    text = f"logs: {first_call(project, loggers) or 'no logger recognized'}"
    if missing:
        text += f". Not recognized: {', '.join(missing)}. Would they tell you why a run diverged?"
        return Answer(item, "question", text, searched)
    text += ". Are they logged at every step at which something may go wrong?"
    return Answer(item, "seen", text, searched)


def logs(project: Project, name: str, pattern: str) -> bool:
    """Whether something that logs or prints mentions a quantity."""
    compiled = re.compile(pattern, re.IGNORECASE)
    logger = re.compile(r"log|print|scalar|info|update|set_postfix|write", re.IGNORECASE)
    for module in project.modules:
        for call in module.all(ast.Call):
            callee = called(call)
            if name == "non-finite values" and compiled.search(callee):
                return True
            if logger.search(callee) and any(map(compiled.search, names_in(call))):
                return True
        # Entries of a dictionary that is logged later: metrics["train/learning_rate"].
        keys = [each.slice for each in module.all(ast.Subscript)]
        keys += [key for each in module.all(ast.Dict) for key in each.keys if key]
        if any(compiled.search(text_of(key).replace("/", "_")) for key in keys):
            return True
    return False


def released(project: Project, findings: tuple[Finding, ...]) -> Answer:
    """Are memory and files released?"""
    item = "Memory and files are released"
    searched = "losses that keep graphs, evaluation with gradients, open() outside of `with`, "
    searched += f"in {scope(project)}"
    opened = [
        module.place(call)
        for module in project.modules
        for call in module.all(ast.Call)
        if path_of(call.func) == "open" and not is_managed(module, call)
    ]
    text = f"{len(opened)} open() outside of `with`"
    if opened:
        text += f", the first at {opened[0]}"
    if findings:
        return Answer(item, "findings", text, searched, findings)
    text += ". Does memory stay constant over 200 steps? That can only be measured."
    return Answer(item, "question", text, searched)


def is_managed(module: Module, call: ast.Call) -> bool:
    """Whether a file is closed by a `with`, or by a call of close()."""
    if any(isinstance(each, ast.withitem) for each in module.ancestors(call)):
        return True
    function = module.function_of(call)
    names = [name for name, values in function.values.items() if call in values]
    return any(
        called(each) in ("close", "enter_context") and receiver(each) in names
        for each in function.all(ast.Call)
    )


def definitions(project: Project) -> list[Function]:
    """Functions with a name, without those inside others."""
    return [
        function
        for function in project.functions
        if isinstance(function.node, Definition)
        and (function.owner or function.parent is function.module.script)
    ]


def hints(project: Project) -> Answer:
    """Are type hints accurate?"""
    functions = definitions(project)
    full = fraction(sum(map(is_annotated, functions)), len(functions))
    text = f"{full} functions have type hints for all parameters and the result. "
    text += "Only a type checker can say whether they are accurate: does pyright or mypy pass?"
    searched = f"{count(len(functions), 'function')} in {scope(project)}"
    return Answer("Type hints are accurate", "coverage", text, searched)


def is_annotated(function: Function) -> bool:
    """Whether all parameters but `self`, and the result, have hints."""
    if not isinstance(function.node, Definition):
        return False
    arguments = function.node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    own = every[1:] if function.owner and every and every[0].arg in ("self", "cls") else every
    has_result = function.node.returns is not None or function.name == "__init__"
    return has_result and all(each.annotation is not None for each in own)


def docstrings(project: Project) -> Answer:
    """Do docstrings explain why?"""
    public = [function for function in definitions(project) if not function.name.startswith("_")]
    documented = fraction(sum(map(has_docstring, public)), len(public))
    longest = [
        f"{each.qualified} ({each.module.place(each.node)})"
        for each in sorted(public, key=length, reverse=True)[:3]
    ]
    text = f"{documented} public functions have a docstring. No tool can tell whether they say "
    text += f"why: read those of the three longest functions: {', '.join(longest) or 'none'}"
    searched = f"{count(len(public), 'public function')} in {scope(project)}"
    return Answer("Docstrings explain why", "coverage", text, searched)


def has_docstring(function: Function) -> bool:
    """Whether a function has a docstring."""
    node = function.node
    return isinstance(node, Definition) and bool(ast.get_docstring(node, clean=False))


def length(function: Function) -> int:
    """Lines of a function."""
    return int(getattr(function.node, "end_lineno", 0)) - int(getattr(function.node, "lineno", 0))


def fraction(part: int, whole: int) -> str:
    """`3 of 4 (75 %)`."""
    return f"{part} of {whole} ({100 * part // whole} %)" if whole else "0 of 0"
