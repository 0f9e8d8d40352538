"""Checks of data and of the loss's input; off by default until enough findings are judged."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..findings import Category, Finding, Rule, Stage
from ..project import Project
from ..source import Function, called, keyword, path_of, receiver
from ..torch_code import HELD_OUT, last_names
from .check import Check, finding

SOFTMAX_TWICE = Rule(
    id="ML202",
    title="Softmax before a loss that applies it",
    category=Category.WRONG_RESULT,
    stage=Stage.EXPLORATION,
    why="`cross_entropy` applies log-softmax itself. On probabilities the gradients are small "
    "and the loss "
    "can't come near 0: training works, but badly.",
    source="https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
    fix="Pass the logits to the loss, and apply softmax where probabilities are shown.",
    verify="The loss of a correct prediction with large logits is near 0.",
    bad="import torch\nfrom torch.nn import functional as F\n\nlogits = torch.tensor([[9.0, "
    "0.0]])\n"
    "print(F.cross_entropy(F.softmax(logits, dim=1), torch.tensor([0])))\n",
    good="import torch\nfrom torch.nn import functional as F\n\nlogits = torch.tensor([[9.0, "
    "0.0]])\n"
    "print(F.cross_entropy(logits, torch.tensor([0])))\n",
    lines_to_fix=1,
    is_default=False,
)
AUGMENTED = Rule(
    id="ML203",
    title="Held-out data is augmented at random",
    category=Category.WRONG_RESULT,
    stage=Stage.EXPLORATION,
    why="The score is of distorted examples and changes from one evaluation to the next.",
    source="https://pytorch.org/vision/stable/transforms.html",
    fix="Give held-out data a transform of its own, without `Random…`.",
    verify="Two evaluations of one model give the same score.",
    bad="""\
from torchvision import datasets, transforms

augment = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])
train_set = datasets.FakeData(transform=augment)
test_set = datasets.FakeData(transform=augment)
""",
    good="""\
from torchvision import datasets, transforms

augment = transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()])
train_set = datasets.FakeData(transform=augment)
test_set = datasets.FakeData(transform=transforms.ToTensor())
""",
    lines_to_fix=1,
    is_default=False,
)
FITTED_EARLY = Rule(
    id="ML204",
    title="Statistics are fitted before the split",
    category=Category.WRONG_RESULT,
    stage=Stage.EXPLORATION,
    why="The held-out part takes part in the statistics, so its score is too good. Found by the "
    "names of "
    "scikit-learn only.",
    source="https://scikit-learn.org/stable/common_pitfalls.html#data-leakage",
    fix="Split first and fit on the training part, or put the step into a `Pipeline`.",
    verify="`scaler.n_samples_seen_` is the size of the training part.",
    bad="""\
import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

inputs = np.arange(20.0).reshape(10, 2)
scaled = StandardScaler().fit_transform(inputs)
train, test = train_test_split(scaled, random_state=0)
print(len(train), len(test))
""",
    good="""\
import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

inputs = np.arange(20.0).reshape(10, 2)
train, test = train_test_split(inputs, random_state=0)
scaler = StandardScaler().fit(train)
print(len(scaler.transform(train)), len(scaler.transform(test)))
""",
    lines_to_fix=3,
    is_default=False,
)


def softmax_twice(project: Project) -> Iterator[Finding]:
    """cross_entropy of a softmax, directly, by a name, or as the end of a network's forward."""
    for function in project.functions:
        for call in function.all(ast.Call):
            if not call.args or not is_cross_entropy(project, function, call):
                continue
            if source := softmax_source(project, function, call.args[0]):
                yield finding(
                    SOFTMAX_TWICE,
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
        called(call) == "softmax" and receiver(call)
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
                is_test = isinstance(train, ast.Constant) and train.value is False
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
                        AUGMENTED,
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
                    FITTED_EARLY,
                    function,
                    call,
                    f"`{steps[0].rpartition('.')[2]}` is fitted on data that is split afterwards",
                    f"its result is split on line {function.module.place(used[0]).line}",
                )


CHECKS = (
    Check(SOFTMAX_TWICE, softmax_twice),
    Check(AUGMENTED, augments_held_out),
    Check(FITTED_EARLY, fits_before_split),
)
