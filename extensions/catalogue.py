"""The options of every question: what each brings, costs and requires.

`copier.yml`, the project's dependencies, `ml-architect explain`, the README's table and the tests
all read this file. The settings of a project aren't here: they are plain Python in the project.

`copier update` loads this file once per version of the template, old and new, so it can't import
from its own folder: that would stay at one version. Other extensions get it from Jinja's globals.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment
from jinja2.ext import Extension


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package that a project depends on."""

    name: str
    versions: str  # with a lower and an upper bound
    why: str
    extras: str = ""  # "[polars]"
    module: str = ""  # what is imported: by default, the name with underscores

    def __post_init__(self) -> None:
        object.__setattr__(self, "module", self.module or self.name.replace("-", "_"))


@dataclass(frozen=True, slots=True)
class Option:
    """One answer to a question."""

    value: str
    buys: str
    costs: str
    prefer: str  # when to choose it over the others
    title: str = ""  # by default, the value as words
    requirements: tuple[Requirement, ...] = ()
    conflicts: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Any])
    """Question -> answer -> why this option can't be combined with it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or as_words(self.value))

    @property
    def label(self) -> str:
        """The option as one line of the questionnaire."""
        return f"{self.title}: {self.buys}; {self.costs}"


class Question:
    """A question with a fixed set of options."""

    def __init__(
        self, name: str, default: str, text: str, *options: Option, can_change: bool = True
    ) -> None:
        self.name = name
        self.title = as_words(name)
        self.help = text
        self.default = default
        self.options = options
        self.values = tuple(option.value for option in options)
        self.can_change = can_change  # in an existing project, by an update

    def option(self, value: str) -> Option:
        """Return the option with this value. Raises KeyError if there is none."""
        return {option.value: option for option in self.options}[value]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All questions, and the requirements of every project."""

    questions: tuple[Question, ...]
    requirements: tuple[Requirement, ...]
    development: tuple[Requirement, ...]

    def question(self, name: str) -> Question:
        """Return the question with this name. Raises KeyError if there is none."""
        return {question.name: question for question in self.questions}[name]

    def chosen(self, answers: Mapping[str, Any]) -> tuple[Option, ...]:
        """The options that were chosen, in the order of the questions."""
        return tuple(question.option(answers[question.name]) for question in self.questions)

    @property
    def modules(self) -> frozenset[str]:
        """Names that a project's package can't have: what its environment may contain."""
        return frozenset(Path(__file__).with_name("modules.txt").read_text("utf-8").split())


def as_words(name: str) -> str:
    """Turn `language_model` into `Language model`."""
    return name[0].upper() + name[1:].replace("_", " ")


SCIKIT_LEARN = partial(Requirement, "scikit-learn", ">=1.7,<2", module="sklearn")

# --- questions: name, default, text, options ----------------------------------------------------

STAGE = Question(
    "stage",
    "prototype",
    "How far along is the project? This decides how much is set up around the code.",
    Option(
        "exploration",
        buys="from data to an evaluated model, with the resume test",
        costs="one test file, no hooks, no study configs",
        prefer="you don't know yet whether the idea works",
    ),
    Option(
        "prototype",
        buys="tests of every part, pre-commit hooks, study configs, AGENTS.md",
        costs="a minute before each commit",
        prefer="others read the code, or you compare results over weeks",
    ),
    Option(
        "production",
        buys="CI, a container that predicts, model export, pinned versions",
        costs="strict type checking",
        prefer="other systems depend on the model",
    ),
)

STARTER = Question(
    "starter",
    "image",
    "What kind of data do you have? The starter trains right away; then you adapt it.",
    Option(
        "image",
        buys="a small convolutional network, on scanned digits or a folder of images",
        costs="scikit-learn and Pillow",
        prefer="the inputs are images or other grids",
        requirements=(
            SCIKIT_LEARN("metrics, and the scanned digits"),
            Requirement("pillow", ">=11,<14", "decodes images", module="PIL"),
        ),
    ),
    Option(
        "tabular",
        buys="a residual network and gradient boosting, on CSV, Parquet or Excel",
        costs="polars and scikit-learn",
        prefer="an example is a row of numbers and categories, and you predict one column",
        requirements=(
            Requirement("polars", ">=2.0,<3", "reads the table in batches"),
            SCIKIT_LEARN("metrics, gradient boosting, and the sample table"),
        ),
    ),
    Option(
        "language_model",
        buys="a decoder-only transformer, on Python's standard library or your texts",
        costs="two minutes per run",
        prefer="the data is text, and the model predicts the next token",
    ),
    Option(
        "blank",
        buys="the whole pipeline on a small CSV file, to be replaced",
        costs="you write the source, transforms and network",
        prefer="no other starter is close to your data",
        requirements=(SCIKIT_LEARN("metrics"),),
    ),
    can_change=False,  # its files belong to the owner from then on
)

CONFIG = Question(
    "config",
    "pydantic",
    "How are configs defined? Setting names and the command line are the same either way.",
    Option(
        "dataclass",
        buys="plain Python that everybody can read",
        costs="hand-written checks; cattrs reads the file",
        prefer="you want configs that don't depend on a framework",
        requirements=(Requirement("cattrs", ">=24.1,<27", "reads a config file into dataclasses"),),
    ),
    Option(
        "pydantic",
        buys="bounds declared next to the type, and a JSON schema for free",
        costs="one compiled package",
        prefer="the config will grow, or other tools read its schema",
        requirements=(Requirement("pydantic", ">=2.10,<3", "reads and validates the config"),),
    ),
    can_change=False,  # settings.py belongs to the owner from then on
)

TRACKER = Question(
    "tracker",
    "jsonl",
    "Where should metrics go, besides the metrics.jsonl of every run?",
    Option(
        "jsonl",
        title="JSON lines",
        buys="nothing to install or run; `ml-architect runs` and `plot` compare runs",
        costs="no web page",
        prefer="one person compares a handful of runs",
    ),
    Option(
        "tensorboard",
        title="TensorBoard",
        buys="live curves on a local web page",
        costs="7 packages, 54 MB",
        prefer="you watch curves during training",
        requirements=(Requirement("tensorboard", ">=2.18,<3", "the chosen tracker"),),
    ),
    Option(
        "mlflow",
        title="MLflow",
        buys="runs compared on a web page, local or on a server",
        costs="63 packages, 450 MB, 3 s per run",
        prefer="you have an MLflow server, or need its model registry",
        requirements=(Requirement("mlflow", ">=3.5,<4", "the chosen tracker"),),
    ),
    Option(
        "wandb",
        title="Weights & Biases",
        buys="runs compared on a hosted page",
        costs="27 packages, 80 MB, an account",
        prefer="a team follows the same runs from many machines",
        requirements=(Requirement("wandb", ">=0.31,<1", "the chosen tracker"),),
    ),
    Option(
        "trackio",
        buys="runs compared on a local web page",
        costs="26 packages, 60 MB, a young project",
        prefer="the page should stay local or on a Hugging Face Space",
        requirements=(Requirement("trackio", ">=0.43,<1", "the chosen tracker"),),
    ),
)

CHECKPOINT = Question(
    "checkpoint",
    "best_and_last",
    "Which checkpoints does a run keep? The best and the latest are always among them.",
    Option(
        "best_and_last",
        buys="the least disk space: two checkpoints",
        costs="if the last is corrupt, the run falls back to the best",
        prefer="runs are short, or disk space is scarce",
    ),
    Option(
        "rolling",
        buys="the last K as well, to go back to",
        costs="disk space for K more",
        prefer="runs are long, or you want to inspect runs that went wrong",
    ),
    Option(
        "interval",
        buys="saves by wall-clock time, so a kill costs a few minutes at most",
        costs="each run saves at different steps",
        prefer="the machine may be preempted: spot instances, time limits",
    ),
)

CHECKPOINT_WRITER = Question(
    "checkpoint_writer",
    "synchronous",
    "How are checkpoints written?",
    Option(
        "synchronous",
        buys="the simplest code that loses nothing",
        costs="training waits for the disk",
        prefer="saving takes less time than the steps between two checkpoints",
    ),
    Option(
        "background",
        buys="training continues while a thread writes",
        costs="memory for a copy of the weights and the optimizer state",
        prefer="the model is large, or checkpoints are frequent",
    ),
)

DEVICES = Question(
    "devices",
    "single",
    "On how many devices does a run train?",
    Option(
        "single",
        buys="the least code: one process, on a GPU or on the CPU",
        costs="a run is as fast as one device",
        prefer="a run takes hours at most",
    ),
    Option(
        "ddp",
        title="DDP",
        buys="several GPUs or machines, and the same bits with any number",
        costs="240 lines of code, no BatchNorm",
        prefer="a run takes days on one device, and the model fits on it; torchrun starts it",
    ),
    Option(
        "fsdp",
        title="FSDP",
        buys="models larger than a GPU, in shards",
        costs="300 lines of code, no BatchNorm; other bits on more processes",
        prefer="weights, gradients and optimizer state don't fit on one GPU; torchrun starts it",
        conflicts={
            "checkpoint_writer": {
                "background": "all processes write their shards together, between two steps"
            }
        },
    ),
)

LICENSE = Question(
    "license",
    "MIT",
    "Under which license? (SPDX identifiers)",
    Option(
        "MIT",
        buys="anyone may use it for anything",
        costs="no patent grant",
        prefer="you want it to spread",
    ),
    Option(
        "BSD-3-Clause",
        buys="like MIT, and your name can't be used for endorsement",
        costs="no patent grant",
        prefer="your institution asks for it",
    ),
    Option(
        "Apache-2.0",
        buys="like MIT, with a patent grant",
        costs="a longer text, and changes must be marked",
        prefer="companies contribute",
    ),
    Option(
        "LicenseRef-Proprietary",
        title="Proprietary",
        buys="all rights reserved",
        costs="nobody else may use it",
        prefer="the work won't be shared",
    ),
)

CATALOGUE = Catalogue(
    questions=(STAGE, STARTER, CONFIG, TRACKER, CHECKPOINT, CHECKPOINT_WRITER, DEVICES, LICENSE),
    requirements=(
        Requirement("torch", ">=2.10,<3", "models and gradients"),
        Requirement("numpy", ">=2.0,<3", "arrays, transforms, shuffling"),
        Requirement("safetensors", ">=0.5,<1", "checkpoints without pickle"),
        Requirement("tomli-w", ">=1.1,<2", "writes a run's config.toml"),
        Requirement("filelock", ">=3.30,<5", "only one process at a time writes to a run"),
        Requirement("matplotlib", ">=3.9,<4", "plots in the report"),
    ),
    development=(
        Requirement("pytest", ">=8.3,<10", "tests"),
        Requirement("ruff", ">=0.15,<1", "linter and formatter"),
        Requirement("pyright", ">=1.1.400,<2", "type checker", "[nodejs]"),
    ),
)


class CatalogueExtension(Extension):
    """Gives `copier.yml`, the templates and the other extensions this version's catalogue."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        variables: dict[str, Any] = environment.globals  # pyright: ignore[reportAssignmentType]
        variables.update(catalogue=CATALOGUE, options=options)


def options(name: str, data: Mapping[str, Any]) -> str:
    """Return a question's options as Copier reads them: JSON (a subset of YAML), label to value.

    Copier would crash on an unknown value from `--data`: it is added, for the blueprint to reject.
    """
    question = CATALOGUE.question(name)
    choices: dict[str, Any] = {option.label: option.value for option in question.options}
    if name in data and data[name] not in question.values:
        choices["unknown"] = str(data[name])
    return json.dumps(choices)
