"""The eight items of a review: answered by findings or figures, or handed back as questions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .findings import Finding
from .project import Project
from .source import Definition, Function, Module, called, path_of, receiver

AnswerKind = Literal["findings", "coverage", "question", "seen"]


@dataclass(frozen=True)
class Answer:
    """The answer to one item; none of them says that all is well."""

    item: str
    kind: AnswerKind
    """`findings` of checks, figures of `coverage`, something that was `seen`, or a `question`."""
    text: str
    searched: str
    findings: tuple[Finding, ...] = ()


def answers(project: Project, findings: Iterable[Finding]) -> list[Answer]:
    """Answers to the eight items, in their order."""
    listed = list(findings)
    return [
        validation(project),
        repeatable(project, pick(listed, "ML108", "ML109", "ML113", "ML114")),
        checkpoints(project, pick(listed, "ML102", "ML103", "ML104", "ML105", "ML106", "ML107")),
        small_scale(project),
        metrics(project),
        released(project, pick(listed, "ML101", "ML110", "ML115", "ML306")),
        hints(project),
        docstrings(project),
    ]


def pick(findings: list[Finding], *ids: str) -> tuple[Finding, ...]:
    """Findings of some rules."""
    return tuple(each for each in findings if each.rule.id in ids)


def scope(project: Project) -> str:
    """What was read, in words."""
    count = len(project.training_entries)
    if count:
        shown = ", ".join(entry.module.path for entry in project.training_entries[:3])
        more = f" and {count - 3} more" if count > 3 else ""
        return f"{len(project.modules)} files; trains from {shown}{more}"
    return f"{len(project.modules)} files; no entry point that trains was found"


NUMBERS = ("math.", "numpy.", "torch.", "jax.", "scipy.", "tensorflow.math.")
"""Packages whose `log` is the logarithm."""


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
            place = module.place(call)
            return f"`{path_of(call.func) or called(call)}` at {place.path}:{place.line}"
    return ""


def names_in(node: ast.AST) -> list[str]:
    """Names, attributes and texts in an expression."""
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
            if called(call) in ("add_argument", "Option", "option") and call.args:
                for each in call.args:
                    if (
                        isinstance(each, ast.Constant)
                        and isinstance(each.value, str)
                        and compiled.search(each.value)
                    ):
                        return f"option {each.value} at {module.path}:{module.place(call).line}"
        for node in module.all(ast.AnnAssign):
            if (
                (name := path_of(node.target))
                and compiled.search(name)
                and module.function_of(node) is module.script
            ):
                return f"setting {name} at {module.path}:{module.place(node).line}"
    setting = project.metadata.has_key(f"(?i){pattern}")
    return f"setting {setting.key} in {setting.path}" if setting else ""


def validation(project: Project) -> Answer:
    """Is data validated before expensive work?"""
    item = "Data is validated before expensive work"
    pattern = (
        r"(^|[._])(validate|check)_?(data|dataset|schema|frame|df|split|input|example)"
        r"|(data|dataset|cache|schema|validator)\.(validate|check)$|pandera|great_expectations"
    )
    seen = first_call(project, pattern)
    searched = f"calls named validate_…, check_…, and pandera, in {scope(project)}"
    if seen:
        return Answer(
            item,
            "seen",
            f"{seen}. Does it run before the model is built, and on all splits?",
            searched,
        )
    return Answer(
        item,
        "question",
        "Nothing that checks data was recognized. What happens with an empty file, a missing "
        "column, a NaN?",
        searched,
    )


def repeatable(project: Project, findings: tuple[Finding, ...]) -> Answer:
    """Are seeds set and configs logged?"""
    item = "Seeds are set and configs are logged"
    pattern = (
        r"(log|write|add)_?(hparams|hyperparams|params|config)|save_(config|args|hyperparameters)"
        r"|OmegaConf\.save|wandb\.init|hydra\.main"
    )
    config = r"(?i)(^|_)(config|cfg|args|opts?|options|params|hparams|settings|flags)$"
    logged = first_call(project, pattern)
    logged = logged or first_call(project, r"(yaml|json|toml|tomli_w)\.(safe_)?dumps?$", config)
    seed = first_call(project, r"seed|PRNGKey")
    searched = f"seeds, and calls that store a config, in {scope(project)}"
    text = "; ".join(
        [f"seed: {seed or 'no call found'}", f"config: {logged or 'no call that stores it found'}"]
    )
    if findings:
        return Answer(item, "findings", text, searched, findings)
    if not project.training_entries or not (logged and seed):
        return Answer(
            item, "question", f"{text}. How would you repeat the run of last week?", searched
        )
    return Answer(
        item, "seen", f"{text}. Is the config stored with each run, and the commit?", searched
    )


def checkpoints(project: Project, findings: tuple[Finding, ...]) -> Answer:
    """Is there a checkpoint for anything over ten minutes?"""
    item = "Anything over ten minutes is checkpointed"
    searched = f"calls that save or load, in {scope(project)}"
    save = first_call(
        project,
        r"(^|\.)(save|save_checkpoint|save_state|save_model|ModelCheckpoint|CheckpointManager)$|torch\.save",
    )
    load = first_call(
        project, r"load_state_dict|load_checkpoint|restore|load_from_checkpoint|load_state"
    ) or first_call(project, r"resume")
    text = f"saves: {save or 'no call found'}; loads: {load or 'no call found'}"
    if findings:
        return Answer(item, "findings", text, searched, findings)
    if not save or not load:
        return Answer(
            item,
            "question",
            f"{text}. How long does a run take, and what is left of it after a crash?",
            searched,
        )
    return Answer(
        item,
        "seen",
        f"{text}. Has a run been killed and resumed, with the same loss after?",
        searched,
    )


def small_scale(project: Project) -> Answer:
    """Can it run at small scale?"""
    item = "It can run at small scale"
    pattern = (
        r"debug|dry.?run|smoke|fast_dev_run|limit_(train|val)|max_(steps|samples|train|batches)"
        r"|max_iters|overfit|subset|num_samples|small|quick|tiny|(num_)?epochs"
    )
    seen = first_option(project, pattern)
    searched = f"command-line options, fields and configuration files, in {scope(project)}"
    if seen:
        return Answer(
            item,
            "seen",
            f"{seen}. Does the whole program, evaluation and saving too, run with it in under a "
            "minute?",
            searched,
        )
    return Answer(
        item,
        "question",
        "No option that makes a run small was recognized. How do you try a change in a minute?",
        searched,
    )


def metrics(project: Project) -> Answer:
    """Are the metrics logged that debugging needs?"""
    item = "Metrics that debugging needs are logged"
    loggers = r"(^|\.)(log|log_metrics?|add_scalars?|write_scalars|log_dict|update_summary|scalar)$"
    seen = first_call(project, loggers)
    wanted = {
        "learning rate": r"(^|_)(lr|learning_rate)($|_)|get_last_lr|LearningRateMonitor",
        "norm of the gradients": r"grad(ient)?s?_?norm|total_norm|gnorm",
        "non-finite values": r"isnan|isfinite|isinf|detect_anomaly|nan_to_num|terminate_on_nan",
        "examples per second": r"throughput|per.sec|samples_s|tokens_s|ips|it_s",
    }
    missing = [name for name, pattern in wanted.items() if not logs(project, name, pattern)]
    searched = (
        f"calls that log and the names in them, in {scope(project)}; "
        "clipping alone doesn't count as logging"
    )
    known = f"logs: {seen or 'no logger recognized'}"
    if missing:
        return Answer(
            item,
            "question",
            f"{known}. Not recognized: {', '.join(missing)}. Would they tell you why a run "
            "diverged?",
            searched,
        )
    return Answer(
        item,
        "seen",
        f"{known}. Are they logged at every step at which something may go wrong?",
        searched,
    )


def logs(project: Project, name: str, pattern: str) -> bool:
    """Whether something that logs or prints mentions a quantity."""
    compiled = re.compile(pattern, re.IGNORECASE)
    for module in project.modules:
        for call in module.all(ast.Call):
            callee = called(call)
            if name == "non-finite values" and compiled.search(callee):
                return True
            if not re.search(
                r"log|print|scalar|info|update|set_postfix|write", callee, re.IGNORECASE
            ):
                continue
            if any(compiled.search(each) for each in names_in(call)):
                return True
        # Entries of a dictionary that is logged later: metrics["train/learning_rate"].
        keys = [each.slice for each in module.all(ast.Subscript)]
        keys += [key for each in module.all(ast.Dict) for key in each.keys if key]
        if any(
            isinstance(key, ast.Constant)
            and isinstance(key.value, str)
            and compiled.search(key.value.replace("/", "_"))
            for key in keys
        ):
            return True
    return False


def released(project: Project, findings: tuple[Finding, ...]) -> Answer:
    """Are memory and files released?"""
    item = "Memory and files are released"
    opened = [
        (module, call)
        for module in project.modules
        for call in module.all(ast.Call)
        if path_of(call.func) == "open" and not is_managed(module, call)
    ]
    searched = (
        "losses that keep graphs, evaluation with gradients, open() outside of `with`, "
        f"in {scope(project)}"
    )
    text = f"{len(opened)} open() outside of `with`"
    if opened:
        place = opened[0][0].place(opened[0][1])
        text += f", the first at {place.path}:{place.line}"
    if findings:
        return Answer(item, "findings", text, searched, findings)
    return Answer(
        item,
        "question",
        f"{text}. Does memory stay flat over 200 steps? That can only be measured.",
        searched,
    )


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
    full = [function for function in functions if is_annotated(function)]
    text = (
        f"{share(len(full), len(functions))} functions have hints for all parameters and the result"
    )
    searched = f"{len(functions)} functions in {len(project.modules)} files"
    question = "Whether they are accurate only a type checker says: does pyright or mypy pass?"
    return Answer("Type hints are accurate", "coverage", f"{text}. {question}", searched)


def is_annotated(function: Function) -> bool:
    """Whether all parameters but `self`, and the result, have hints."""
    if not isinstance(function.node, Definition):
        return False
    arguments = function.node.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    own = listed[1:] if function.owner and listed and listed[0].arg in ("self", "cls") else listed
    has_result = function.node.returns is not None or function.name == "__init__"
    return has_result and all(each.annotation is not None for each in own)


def docstrings(project: Project) -> Answer:
    """Do docstrings explain why?"""
    public = [function for function in definitions(project) if not function.name.startswith("_")]
    documented = [
        each
        for each in public
        if isinstance(each.node, Definition) and ast.get_docstring(each.node, clean=False)
    ]
    text = f"{share(len(documented), len(public))} public functions have a docstring"
    searched = f"{len(public)} public functions in {len(project.modules)} files"
    question = "Whether they say why no tool can tell: read those of the three longest functions"
    longest = sorted(public, key=length, reverse=True)[:3]
    shown = ", ".join(
        f"{each.qualified} ({each.module.path}:{each.module.place(each.node).line})"
        for each in longest
    )
    return Answer(
        "Docstrings explain why", "coverage", f"{text}. {question}: {shown or 'none'}", searched
    )


def length(function: Function) -> int:
    """Lines of a function."""
    return int(getattr(function.node, "end_lineno", 0)) - int(getattr(function.node, "lineno", 0))


def share(part: int, whole: int) -> str:
    """`3 of 4 (75 %)`."""
    return f"{part} of {whole} ({100 * part // whole} %)" if whole else "0 of 0"
