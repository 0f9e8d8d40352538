"""Checks of data and of the loss's input; off by default until enough findings are judged."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..findings import Finding
from ..project import Project
from ..source import Function, called, is_constant, keyword, path_of
from ..torch_code import HELD_OUT, last_names
from .check import finding


def softmax_twice(project: Project) -> Iterator[Finding]:
    """cross_entropy of a softmax, directly, by a name, or as the end of a network's forward."""
    for function in project.functions:
        for call in function.all(ast.Call):
            if not call.args or not is_cross_entropy(project, function, call):
                continue
            if source := softmax_source(project, function, call.args[0]):
                yield finding(
                    "ML202",
                    function,
                    call,
                    "the loss applies softmax to probabilities",
                    f"its input is {source}",
                )


def is_cross_entropy(project: Project, function: Function, call: ast.Call) -> bool:
    """Whether a call is torch's cross entropy, as a function or an object."""
    if function.module.dotted(call.func) in ("torch.nn.functional.cross_entropy",):
        return True
    makers = (
        project.resolver.constructors(function, path_of(call.func)) if path_of(call.func) else []
    )
    return any(name == "torch.nn.CrossEntropyLoss" for _, name in makers)


def softmax_source(project: Project, function: Function, value: ast.expr) -> str:
    """What makes a value a softmax's result, in words, or ""."""
    if isinstance(value, ast.Call):
        if is_softmax(project, function, value):
            return f"`{called(value)}(…)`"
        for helper in project.resolver.callees(function, value):
            if helper.name == "forward" and helper is not function:
                returned = helper.all(ast.Return)
                if (
                    returned
                    and returned[-1].value
                    and softmax_source(project, helper, returned[-1].value)
                ):
                    return f"the result of {helper.qualified}, which ends in softmax"
        return ""
    before = [
        each for each in function.values.get(path_of(value), ()) if each.lineno < value.lineno
    ]
    return (
        softmax_source(project, function, before[-1])
        if before and isinstance(before[-1], ast.Call)
        else ""
    )


def is_softmax(project: Project, function: Function, call: ast.Call) -> bool:
    """Whether a call is a softmax (a log-softmax twice changes nothing)."""
    name = function.module.dotted(call.func)
    if name in ("torch.softmax", "torch.nn.functional.softmax") or (
        called(call) == "softmax" and isinstance(call.func, ast.Attribute)
    ):
        return not name.startswith("self.") or any(
            made == "torch.nn.Softmax"
            for _, made in project.resolver.constructors(function, path_of(call.func))
        )
    written = path_of(call.func)
    return bool(written) and any(
        made == "torch.nn.Softmax" for _, made in project.resolver.constructors(function, written)
    )


RANDOM = re.compile(
    r"^(Random(?!Sampler)\w+|ColorJitter|RandAugment|AutoAugment|TrivialAugment\w*|AugMix)$"
)


def augments_held_out(project: Project) -> Iterator[Finding]:
    """Datasets for validation or test whose transform draws."""
    for function in project.functions:
        for name, values in function.values.items():
            for value in values:
                if (
                    not isinstance(value, ast.Call)
                    or (transform := keyword(value, "transform")) is None
                ):
                    continue
                train = keyword(value, "train")
                is_test = is_constant(train, False)
                is_named = bool(HELD_OUT.search(name)) and "train" not in name.lower()
                if not (is_test or is_named):
                    continue
                made = [
                    transform,
                    *(each for _, each in project.resolver.values(function, path_of(transform))),
                ]
                if path_of(transform) and len(made) > 2:
                    continue  # chosen elsewhere
                drawn = sorted(
                    each for item in made for each in last_names(item) if RANDOM.match(each)
                )
                if drawn:
                    yield finding(
                        "ML203",
                        function,
                        value,
                        f"`{name}` is transformed at random",
                        f"its transform has {', '.join(dict.fromkeys(drawn))}",
                    )


STEPS = re.compile(
    r"^sklearn\.(preprocessing|decomposition|impute|feature_selection|feature_extraction)\b"
)
HARMLESS = re.compile(
    r"LabelEncoder|LabelBinarizer|OneHot|Ordinal|FunctionTransformer|Polynomial|\.Normalizer|Hashing"
)


def fits_before_split(project: Project) -> Iterator[Finding]:
    """fit_transform whose result is split afterwards."""
    for function in project.functions:
        splits = [call for call in function.all(ast.Call) if called(call) == "train_test_split"]
        for call in function.all(ast.Call):
            if called(call) != "fit_transform" or not isinstance(call.func, ast.Attribute):
                continue
            inner = call.func.value
            if isinstance(inner, ast.Call):
                makers = [function.module.dotted(inner.func)]
            else:
                makers = [
                    name for _, name in project.resolver.constructors(function, path_of(inner))
                ]
            steps = [name for name in makers if STEPS.match(name) and not HARMLESS.search(name)]
            names = [name for name, values in function.values.items() if call in values]
            used = [
                split
                for split in splits
                if split.lineno > call.lineno
                and any(name in last_names(each) for name in names for each in split.args)
            ]
            if steps and used:
                yield finding(
                    "ML204",
                    function,
                    call,
                    f"`{steps[0].rpartition('.')[2]}` is fitted on data that is split afterwards",
                    f"its result is split at {function.module.place(used[0])}",
                )


CHECKS = {"ML202": softmax_twice, "ML203": augments_held_out, "ML204": fits_before_split}
