"""Every choice that a project can make, stated once.

The questions in `copier.yml`, the dependencies, the config, the decision record, the README's
tables and the tests all read this file; nothing about a choice is written a second time.

Self-contained on purpose: `copier update` loads this file once for the old version of the template
and once for the new one, and whatever it imported from beside itself would stay at one version for
both. Other extensions reach the catalogue of *their* version through the Jinja environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from jinja2 import Environment
from jinja2.ext import Extension
from pydantic import BaseModel, ConfigDict, Field, model_validator

# Pydantic matches in Rust, where `$` is the very end, a newline before it included.
Line = Annotated[str, Field(pattern=r"^\S[^\n]*\S$")]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Stated(BaseModel):
    """Base of every statement: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Requirement(Stated):
    """A package that a project depends on."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    extras: Annotated[str, Field(pattern=r"^(\[[a-z,-]+\])?$")] = ""
    versions: Annotated[str, Field(pattern=r"^>=[0-9.]+,<[0-9.]+$")]  # a bound on both sides
    why: Line
    module: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
    """What is imported: a project's package can't have this name."""


class Setting(Stated):
    """One setting of a project's config: `name` in the section that holds it."""

    section: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]*)?$")]  # "": of the config itself
    name: Identifier
    type: str  # as it is written in Python
    default: bool | int | float | str
    why: Annotated[Line, Field(max_length=90)]
    at_least: float | None = None
    more_than: float | None = None
    at_most: float | None = None
    less_than: float | None = None

    @property
    def is_number(self) -> bool:
        """Whether bounds apply."""
        return self.type in {"int", "float"}

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are set, by name."""
        stated: dict[str, float | None] = {name: getattr(self, name) for name in BOUNDS}
        return {
            name: int(bound) if bound.is_integer() else bound
            for name, bound in stated.items()
            if bound is not None
        }

    @property
    def literal(self) -> str:
        """The default as Python source."""
        if self.type == "Path":
            return f"Path({json.dumps(self.default)})"
        return json.dumps(self.default) if isinstance(self.default, str) else repr(self.default)

    @property
    def path(self) -> str:
        """The setting's name on the command line and in error messages."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @model_validator(mode="after")
    def _bounds_suit_the_type(self) -> Setting:
        if not self.is_number and self.bounds:
            raise ValueError(f"{self.path}: only a number has bounds, not {self.type}")
        return self


BOUNDS = {"at_least": "ge", "more_than": "gt", "at_most": "le", "less_than": "lt"}
"""Our name of each bound, and Pydantic's."""


class Check(Stated):
    """Settings of one section that would contradict each other."""

    section: Identifier
    name: Identifier  # the setting that is to blame
    holds: str  # Python, over `self`
    expected: Line  # what is said when it doesn't hold


class Section(Stated):
    """A group of settings, and the class that holds them."""

    name: Identifier
    about: Annotated[Line, Field(max_length=90)]

    @property
    def type(self) -> str:
        """The name of the section's class."""
        return f"{self.name.title()}Config"


class Option(Stated):
    """One answer to a question."""

    value: str
    title: Line
    buys: Line
    costs: Line
    prefer: Line  # when to choose it over the others
    requirements: tuple[Requirement, ...] = ()
    settings: tuple[Setting, ...] = ()
    checks: tuple[Check, ...] = ()
    conflicts: Mapping[str, Mapping[str, Line]] = {}  # question -> answer -> why not together
    parts: Mapping[Identifier, Identifier] = {}  # choices/<part>/<variant>.py, for several options

    @property
    def label(self) -> str:
        """The option as a line of the questionnaire."""
        return f"{self.title}: {self.buys}; {self.costs}"


class Question(Stated):
    """A question with a fixed set of answers."""

    name: Identifier
    title: Line
    help: Line
    default: str
    can_change: bool = True  # in a living project, with an update
    options: Annotated[tuple[Option, ...], Field(min_length=1)]

    @property
    def values(self) -> tuple[str, ...]:
        """Every legal answer."""
        return tuple(option.value for option in self.options)

    def option(self, value: str) -> Option:
        """The option that an answer names. Raises KeyError for any other."""
        for option in self.options:
            if option.value == value:
                return option
        raise KeyError(f"{self.name} has no option {value!r}; it has {', '.join(self.values)}")

    @model_validator(mode="after")
    def _default_is_an_option(self) -> Question:
        if self.default not in self.values:
            raise ValueError(f"{self.name}: the default {self.default!r} is none of its options")
        if len(set(self.values)) < len(self.values):
            raise ValueError(f"{self.name}: an option is stated twice")
        return self


class Catalogue(Stated):
    """All that a project can be."""

    questions: tuple[Question, ...]
    requirements: tuple[Requirement, ...]  # of every project
    development: tuple[Requirement, ...]  # of every project's own checks
    sections: tuple[Section, ...]
    settings: tuple[Setting, ...]  # of every project
    checks: tuple[Check, ...]

    def question(self, name: str) -> Question:
        """The question of that name. Raises KeyError for any other."""
        for question in self.questions:
            if question.name == name:
                return question
        raise KeyError(f"the catalogue has no question {name!r}")

    def chosen(self, answers: Mapping[str, Any]) -> tuple[Option, ...]:
        """The options that the answers name, in the order of the questions."""
        return tuple(question.option(answers[question.name]) for question in self.questions)

    @property
    def modules(self) -> frozenset[str]:
        """Names that a project's package can't have: what it imports, and what it installs."""
        stated = [*self.requirements, *self.development]
        for question in self.questions:
            for option in question.options:
                stated.extend(option.requirements)
        return frozenset(
            name for each in stated for name in (each.module.lower(), each.name.replace("-", "_"))
        )


# --- every project ------------------------------------------------------------------------------

REQUIREMENTS = (
    Requirement(name="torch", versions=">=2.10,<3", module="torch", why="models and gradients"),
    Requirement(
        name="numpy", versions=">=2.0,<3", module="numpy", why="records, transforms, random order"
    ),
    Requirement(
        name="safetensors",
        versions=">=0.5,<1",
        module="safetensors",
        why="checkpoints without pickle",
    ),
    Requirement(
        name="tyro", versions=">=1.0,<2", module="tyro", why="the command line, from the config"
    ),
    Requirement(
        name="tomli-w", versions=">=1.1,<2", module="tomli_w", why="writes a run's config.toml"
    ),
    Requirement(
        name="rich", versions=">=14,<16", module="rich", why="progress bar and tables on a terminal"
    ),
    Requirement(
        name="filelock", versions=">=3.30,<5", module="filelock", why="one process writes to a run"
    ),
    Requirement(
        name="matplotlib", versions=">=3.9,<4", module="matplotlib", why="the report's pictures"
    ),
)

DEVELOPMENT = (
    Requirement(name="pytest", versions=">=8.3,<10", module="pytest", why="the tests"),
    Requirement(name="ruff", versions=">=0.15,<1", module="ruff", why="lint and format"),
    Requirement(
        name="pyright",
        extras="[nodejs]",
        versions=">=1.1.400,<2",
        module="pyright",
        why="types; brings its own node",
    ),
    Requirement(
        name="import-linter",
        versions=">=2.3,<3",
        module="importlinter",
        why="imports that point one way",
    ),
)

SECTIONS = (
    Section(name="data", about="Where the records come from and how they are split."),
    Section(name="features", about="Augmentation, drawn anew for every batch of training."),
    Section(name="model", about="The size and the regularisation of the network."),
    Section(name="training", about="One run of the optimizer: how long, how fast, on what."),
    Section(name="checkpoint", about="When the state is saved and which checkpoints stay."),
    Section(name="overfit", about="Step 4: a model that can't overfit a few batches has a bug."),
)

SETTINGS = (
    Setting(
        section="",
        name="seed",
        type="int",
        default=0,
        at_least=0,
        why="The source of all chance: weights, order of the batches, augmentation, dropout.",
    ),
    Setting(
        section="data",
        name="validation_fraction",
        type="float",
        default=0.1,
        more_than=0,
        less_than=1,
        why="Share of the records that choose the best checkpoint.",
    ),
    Setting(
        section="data",
        name="test_fraction",
        type="float",
        default=0.1,
        more_than=0,
        less_than=1,
        why="Share of the records that only `evaluate` sees.",
    ),
    Setting(
        section="data",
        name="cache_dir",
        type="Path",
        default="data/cache",
        why="Where prepared records are kept; safe to delete.",
    ),
    Setting(
        section="data",
        name="workers",
        type="int",
        default=0,
        at_least=0,
        why="Processes that prepare batches; 0 prepares them in the training process.",
    ),
    Setting(
        section="training",
        name="batch_size",
        type="int",
        default=32,
        at_least=1,
        why="Records in one optimizer step.",
    ),
    Setting(
        section="training",
        name="accumulation_steps",
        type="int",
        default=1,
        at_least=1,
        why="Parts that a batch is split into, to fit the memory.",
    ),
    Setting(
        section="training",
        name="max_steps",
        type="int",
        default=1000,
        at_least=1,
        why="Optimizer steps.",
    ),
    Setting(
        section="training",
        name="patience",
        type="int",
        default=0,
        at_least=0,
        why="Steps without a better checkpoint after which training ends; 0 waits for ever.",
    ),
    Setting(
        section="training",
        name="max_minutes",
        type="float",
        default=0.0,
        at_least=0,
        why="Wall-clock time after which training ends, resumptions added up; 0 sets no limit.",
    ),
    Setting(
        section="training",
        name="train_fraction",
        type="float",
        default=1.0,
        more_than=0,
        at_most=1,
        why="Fraction of the training examples that is used.",
    ),
    Setting(
        section="training",
        name="learning_rate",
        type="float",
        default=0.003,
        more_than=0,
        at_most=10,
        why="The peak, reached after the warm-up; it then falls to zero along a cosine.",
    ),
    Setting(
        section="training",
        name="warmup_steps",
        type="int",
        default=50,
        at_least=0,
        why="Steps over which the learning rate rises from zero.",
    ),
    Setting(
        section="training",
        name="weight_decay",
        type="float",
        default=0.01,
        at_least=0,
        at_most=1,
        why="Decoupled decay of matrices; biases and norms are spared.",
    ),
    Setting(
        section="training",
        name="gradient_clip",
        type="float",
        default=1.0,
        more_than=0,
        why="Largest norm of the gradient.",
    ),
    Setting(
        section="training",
        name="log_every",
        type="int",
        default=10,
        at_least=1,
        why="Steps between two lines of metrics.jsonl.",
    ),
    Setting(
        section="training",
        name="evaluate_every",
        type="int",
        default=100,
        at_least=1,
        why="Steps between two passes over the validation split.",
    ),
    Setting(
        section="training",
        name="device",
        type='Literal["auto", "cpu", "cuda", "mps"]',
        default="auto",
        why="`auto` takes the first GPU that works.",
    ),
    Setting(
        section="training",
        name="precision",
        type='Literal["float32", "bfloat16"]',
        default="float32",
        why="`bfloat16` runs matrix products in half the memory; the weights stay float32.",
    ),
    Setting(
        section="training",
        name="compile",
        type="bool",
        default=False,
        why="Whether steps are compiled: half a minute's wait, then less time a step.",
    ),
    Setting(
        section="checkpoint",
        name="metric",
        type='Literal["validation/loss", "validation/accuracy"]',
        default="validation/loss",
        why="Metric that selects the best checkpoint.",
    ),
    Setting(
        section="checkpoint",
        name="mode",
        type='Literal["min", "max"]',
        default="min",
        why="Whether a lower or a higher value of the metric is better.",
    ),
    Setting(
        section="overfit",
        name="batches",
        type="int",
        default=2,
        at_least=1,
        why="Batches that the model has to overfit.",
    ),
    Setting(
        section="overfit",
        name="loss_threshold",
        type="float",
        default=0.05,
        more_than=0,
        why="Highest loss on those batches that passes.",
    ),
)

CHECKS = (
    Check(
        section="data",
        name="test_fraction",
        holds="self.validation_fraction + self.test_fraction < 1",
        expected="a sum with data.validation_fraction below 1, or nothing is left to train on",
    ),
    Check(
        section="training",
        name="accumulation_steps",
        holds="self.batch_size % self.accumulation_steps == 0",
        expected="a divisor of training.batch_size, so that all parts weigh the same",
    ),
    Check(
        section="training",
        name="warmup_steps",
        holds="self.warmup_steps < self.max_steps",
        expected="less than training.max_steps, or the peak is never reached",
    ),
    Check(
        section="checkpoint",
        name="mode",
        holds='(self.metric == "validation/loss") == (self.mode == "min")',
        expected="'min' for a loss and 'max' for an accuracy",
    ),
)

# --- what a project chooses ---------------------------------------------------------------------

DROPOUT = Setting(
    section="model",
    name="dropout",
    type="float",
    default=0.1,
    at_least=0,
    less_than=1,
    why="Chance that a unit is dropped in training.",
)

EVERY = Setting(
    section="checkpoint",
    name="every",
    type="int",
    default=500,
    at_least=1,
    why="Steps between two checkpoints: the most that a crash can cost.",
)

CLASSIFICATION = {
    "dataset": "records",
    "evaluation": "classification",
    "report": "classification",
}

STAGE = Question(
    name="stage",
    title="Stage",
    help="How far along is the work? It decides how much is set up around the code.",
    default="prototype",
    options=(
        Option(
            value="exploration",
            title="Exploration",
            buys="from data to a trained model, with the resume test",
            costs="no study configs, no hooks, no import rules",
            prefer="nobody knows yet whether the idea works",
        ),
        Option(
            value="prototype",
            title="Prototype",
            buys="study configs, tests of every part, hooks, import rules",
            costs="a minute before a commit",
            prefer="others read the code, or results are compared over weeks",
        ),
        Option(
            value="production",
            title="Production",
            buys="CI, a container and strict types on top",
            costs="every line has to satisfy the strict checker",
            prefer="something depends on the model",
        ),
    ),
)

STARTER = Question(
    name="starter",
    title="Starter",
    help="What does the project start from? It trains at once; you then make it yours.",
    default="image",
    can_change=False,  # it consists of files that are the owner's from then on
    options=(
        Option(
            value="image",
            title="Image",
            buys="a small convolutional network, on scanned digits or a folder of images",
            costs="scikit-learn, for the scans",
            prefer="the inputs are images or other grids",
            parts=CLASSIFICATION | {"picture": "grid"},
            requirements=(
                Requirement(
                    name="scikit-learn",
                    versions=">=1.7,<2",
                    module="sklearn",
                    why="ships the scanned digits; drop it with them",
                ),
                Requirement(name="pillow", versions=">=11,<14", module="PIL", why="decodes images"),
            ),
            settings=(
                Setting(
                    section="data",
                    name="path",
                    type="str",
                    default="digits",
                    why="`digits`: scikit-learn's scans; else a folder with a folder a class.",
                ),
                Setting(
                    section="data",
                    name="size",
                    type="int",
                    default=8,
                    at_least=2,
                    at_most=4096,
                    why="Pixels on each side, to which images are scaled and cut.",
                ),
                Setting(
                    section="data",
                    name="color",
                    type="bool",
                    default=False,
                    why="Whether colours are kept, as three channels.",
                ),
                Setting(
                    section="features",
                    name="max_shift",
                    type="int",
                    default=1,
                    at_least=0,
                    at_most=64,
                    why="Largest shift of an image in each direction, in pixels.",
                ),
                Setting(
                    section="features",
                    name="flip",
                    type="bool",
                    default=False,
                    why="Whether half of the images are mirrored: not where left and right differ.",
                ),
                Setting(
                    section="features",
                    name="noise",
                    type="float",
                    default=0.02,
                    at_least=0,
                    at_most=1,
                    why="Standard deviation of the noise on pixels, which lie in 0..1.",
                ),
                Setting(
                    section="model",
                    name="channels",
                    type="int",
                    default=16,
                    at_least=1,
                    why="Channels after the first convolution; the second doubles them.",
                ),
                DROPOUT,
            ),
        ),
        Option(
            value="tabular",
            title="Tabular",
            buys="a residual network beside gradient boosting, on CSV or Parquet",
            costs="11 packages, 390 MB",
            prefer="a record is a row of numbers and names, to predict one of them",
            parts={
                "dataset": "records",
                "evaluation": "tabular",
                "report": "tabular",
                "picture": "columns",
            },
            requirements=(
                Requirement(
                    name="polars",
                    versions=">=2.0,<3",
                    module="polars",
                    why="reads the table, batch by batch",
                ),
                Requirement(
                    name="pandera",
                    extras="[polars]",
                    versions=">=0.35,<1",
                    module="pandera",
                    why="checks each batch of the table",
                ),
                Requirement(
                    name="scikit-learn",
                    versions=">=1.7,<2",
                    module="sklearn",
                    why="gradient boosting, which the network has to beat; the table at hand",
                ),
            ),
            settings=(
                Setting(
                    section="data",
                    name="path",
                    type="str",
                    default="diabetes",
                    why="`diabetes`: scikit-learn's table; else a .csv or .parquet file.",
                ),
                Setting(
                    section="data",
                    name="target",
                    type="str",
                    default="progression",
                    why="The column to predict: a number, or one of the names that it states.",
                ),
                Setting(
                    section="features",
                    name="noise",
                    type="float",
                    default=0.05,
                    at_least=0,
                    at_most=1,
                    why="Standard deviation of the noise on numbers, as a share of their column's.",
                ),
                Setting(
                    section="features",
                    name="hidden",
                    type="float",
                    default=0.05,
                    at_least=0,
                    less_than=1,
                    why="Chance that a cell is hidden, as if it were missing.",
                ),
                Setting(
                    section="model",
                    name="width",
                    type="int",
                    default=64,
                    at_least=1,
                    why="Width of the layers.",
                ),
                Setting(
                    section="model",
                    name="blocks",
                    type="int",
                    default=2,
                    at_least=0,
                    why="Residual blocks, of two layers each.",
                ),
                Setting(
                    section="model",
                    name="categories",
                    type="int",
                    default=64,
                    at_least=1,
                    why="Categories of a column that are told apart: the most frequent ones.",
                ),
                Setting(
                    section="model",
                    name="embedding",
                    type="int",
                    default=8,
                    at_least=1,
                    why="Numbers that stand for a category.",
                ),
                DROPOUT,
                Setting(
                    section="checkpoint",
                    name="metric",
                    type='Literal["validation/loss"]',
                    default="validation/loss",
                    why="Metric that selects the best checkpoint.",
                ),
                Setting(
                    section="checkpoint",
                    name="mode",
                    type='Literal["min"]',
                    default="min",
                    why="Whether a lower or a higher value of the metric is better.",
                ),
            ),
            checks=(
                Check(
                    section="checkpoint",
                    name="mode",
                    holds='self.mode == "min"',
                    expected="'min', since a lower loss is better",
                ),
            ),
        ),
        Option(
            value="language_model",
            title="Language model",
            buys="a decoder-only transformer, on Python's own library or on your texts",
            costs="two minutes a run",
            prefer="the records are text, and the next token is what counts",
            parts={
                "dataset": "tokens",
                "evaluation": "language",
                "report": "language",
                "picture": "text",
            },
            settings=(
                Setting(
                    section="data",
                    name="path",
                    type="str",
                    default="stdlib",
                    why="`stdlib`: Python's own; else a folder, a file, or 'corpus/**/*.txt'.",
                ),
                Setting(
                    section="data",
                    name="context",
                    type="int",
                    default=256,
                    at_least=2,
                    why="Tokens that are shown at once: how far back the network can look.",
                ),
                Setting(
                    section="features",
                    name="corruption",
                    type="float",
                    default=0.0,
                    at_least=0,
                    at_most=1,
                    why="Share of the tokens seen in training that are replaced at random.",
                ),
                Setting(
                    section="model",
                    name="size",
                    type="int",
                    default=2,
                    at_least=1,
                    why="Layers, heads, and the width in units of 64; 12 is GPT-2 small.",
                ),
                Setting(
                    section="model",
                    name="ngrams",
                    type="int",
                    default=4,
                    at_least=1,
                    at_most=16,
                    why="Tokens in the longest n-gram that is looked up whole; 1 looks up none.",
                ),
                Setting(
                    section="model",
                    name="dropout",
                    type="float",
                    default=0.0,
                    at_least=0,
                    less_than=1,
                    why="Chance that a unit is dropped; of use once text is shown repeatedly.",
                ),
                Setting(
                    section="checkpoint",
                    name="metric",
                    type='Literal["validation/loss", "validation/bits_per_byte"]',
                    default="validation/loss",
                    why="Metric that selects the best checkpoint.",
                ),
            ),
            checks=(
                Check(
                    section="checkpoint",
                    name="mode",
                    holds='self.mode == "min"',
                    expected="'min': lower is better for a loss and for bits per byte",
                ),
            ),
        ),
        Option(
            value="blank",
            title="Blank",
            buys="the machinery around a table of numbers, to be replaced",
            costs="you write reader, transforms and network",
            prefer="no other starter is close to your data",
            parts=CLASSIFICATION | {"picture": "columns"},
            settings=(
                Setting(
                    section="data",
                    name="path",
                    type="Path",
                    default="data/records.csv",
                    why="The table: an id, numbers, and a label in the last column.",
                ),
                Setting(
                    section="features",
                    name="noise",
                    type="float",
                    default=0.02,
                    at_least=0,
                    at_most=1,
                    why="Standard deviation of the noise on each column, as a share of its own.",
                ),
                Setting(
                    section="model",
                    name="hidden",
                    type="int",
                    default=64,
                    at_least=1,
                    why="Width of the two hidden layers.",
                ),
                DROPOUT,
            ),
            checks=(
                Check(
                    section="training",
                    name="batch_size",
                    holds="self.batch_size // self.accumulation_steps >= 2",
                    expected="at least twice training.accumulation_steps, for batch normalisation",
                ),
            ),
        ),
    ),
)

CONFIG = Question(
    name="config",
    title="Config",
    help="What are the configs made of? Names, command line and errors are the same either way.",
    default="pydantic",
    options=(
        Option(
            value="dataclass",
            title="Dataclasses",
            buys="plain Python that everybody reads",
            costs="checks written out by hand; cattrs reads the file",
            prefer="the config should be free of a framework",
            requirements=(
                Requirement(
                    name="cattrs",
                    versions=">=24.1,<27",
                    module="cattrs",
                    why="turns a config file into dataclasses",
                ),
            ),
        ),
        Option(
            value="pydantic",
            title="Pydantic",
            buys="bounds stated beside the type, a JSON schema for free",
            costs="one compiled package",
            prefer="the config grows, or other tools read its schema",
            requirements=(
                Requirement(
                    name="pydantic",
                    versions=">=2.10,<3",
                    module="pydantic",
                    why="reads and checks the config",
                ),
            ),
        ),
    ),
)

TRACKER = Question(
    name="tracker",
    title="Tracker",
    help="Where do metrics go besides metrics.jsonl, which every run writes?",
    default="jsonl",
    options=(
        Option(
            value="jsonl",
            title="JSON lines",
            buys="nothing to install or to run; `ml-architect plot` draws the curves",
            costs="no web page",
            prefer="one person compares a handful of runs",
        ),
        Option(
            value="tensorboard",
            title="TensorBoard",
            buys="live curves in a local web page",
            costs="7 packages, 54 MB",
            prefer="curves are watched while they grow",
            requirements=(
                Requirement(
                    name="tensorboard",
                    versions=">=2.18,<3",
                    module="tensorboard",
                    why="the chosen tracker",
                ),
            ),
        ),
        Option(
            value="mlflow",
            title="MLflow",
            buys="runs compared in a web page, here or on a server",
            costs="63 packages, 450 MB, 3 s a run",
            prefer="an MLflow server is there, or models are to be registered",
            requirements=(
                Requirement(
                    name="mlflow",
                    versions=">=3.5,<4",
                    module="mlflow",
                    why="the chosen tracker",
                ),
            ),
        ),
        Option(
            value="wandb",
            title="Weights & Biases",
            buys="runs compared on a hosted page",
            costs="27 packages, 80 MB, an account",
            prefer="a team looks at the same runs from many machines",
            requirements=(
                Requirement(
                    name="wandb",
                    versions=">=0.31,<1",
                    module="wandb",
                    why="the chosen tracker",
                ),
            ),
        ),
        Option(
            value="trackio",
            title="Trackio",
            buys="runs compared in a local web page",
            costs="26 packages, 60 MB, a young project",
            prefer="the page should stay on this machine, or on a Hugging Face Space",
            requirements=(
                Requirement(
                    name="trackio",
                    versions=">=0.43,<1",
                    module="trackio",
                    why="the chosen tracker",
                ),
            ),
        ),
    ),
)

CHECKPOINT = Question(
    name="checkpoint",
    title="Checkpoints",
    help="Which checkpoints does a run keep? The best and the newest are always among them.",
    default="best_and_last",
    options=(
        Option(
            value="best_and_last",
            title="Best and last",
            buys="the least disk: two checkpoints",
            costs="damage to the last one sets a run back to the best",
            prefer="runs are short or the disk is small",
            settings=(EVERY,),
        ),
        Option(
            value="rolling",
            title="Rolling",
            buys="the newest K as well, to go back to",
            costs="the disk of K more",
            prefer="runs are long, or a run that went wrong is studied afterwards",
            settings=(
                EVERY,
                Setting(
                    section="checkpoint",
                    name="keep",
                    type="int",
                    default=3,
                    at_least=2,
                    why="Newest checkpoints that stay; two, so that one may be damaged.",
                ),
            ),
        ),
        Option(
            value="interval",
            title="Interval",
            buys="a kill costs some minutes, however many steps they hold",
            costs="each run saves at other steps",
            prefer="the machine can be taken away: spot instances, time limits, preemption",
            settings=(
                Setting(
                    section="checkpoint",
                    name="minutes",
                    type="float",
                    default=10.0,
                    more_than=0,
                    why="Wall-clock time between two checkpoints: what a kill costs, and a step.",
                ),
            ),
        ),
    ),
)

CHECKPOINT_WRITER = Question(
    name="checkpoint_writer",
    title="Checkpoint writer",
    help="Who writes a checkpoint?",
    default="synchronous",
    options=(
        Option(
            value="synchronous",
            title="Synchronous",
            buys="the simplest thing that can't lose anything",
            costs="the loop waits while the disk writes",
            prefer="a checkpoint takes less time than the steps between two of them",
        ),
        Option(
            value="background",
            title="Background",
            buys="the loop goes on while a thread writes",
            costs="memory for a second copy of weights and moments",
            prefer="the model is large, or checkpoints are frequent",
        ),
    ),
)

LICENSE = Question(
    name="license",
    title="License",
    help="Under which terms may others use it? (SPDX names)",
    default="MIT",
    options=(
        Option(
            value="MIT",
            title="MIT",
            buys="anybody may use it for anything",
            costs="no grant of patents",
            prefer="it should spread",
        ),
        Option(
            value="BSD-3-Clause",
            title="BSD, 3 clauses",
            buys="as MIT, and your name endorses nothing",
            costs="no grant of patents",
            prefer="your institute asks for it",
        ),
        Option(
            value="Apache-2.0",
            title="Apache 2.0",
            buys="as MIT, with a grant of patents",
            costs="a longer text, changes have to be marked",
            prefer="companies contribute",
        ),
        Option(
            value="LicenseRef-Proprietary",
            title="Proprietary",
            buys="all rights stay with you",
            costs="nobody else may use it",
            prefer="the work isn't to be shared",
        ),
    ),
)

CATALOGUE = Catalogue(
    questions=(STAGE, STARTER, CONFIG, TRACKER, CHECKPOINT, CHECKPOINT_WRITER, LICENSE),
    requirements=REQUIREMENTS,
    development=DEVELOPMENT,
    sections=SECTIONS,
    settings=SETTINGS,
    checks=CHECKS,
)


class CatalogueExtension(Extension):
    """Gives `copier.yml`, the templates and the other extensions this version's catalogue."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        named: dict[str, Any] = environment.globals  # pyright: ignore[reportAssignmentType]
        named.update(catalogue=CATALOGUE, options=options, several=several)


def options(name: str, given: Mapping[str, Any]) -> str:
    """A question's options as Copier reads them: JSON (hence YAML), label to value.

    A value that was given on the command line and is no option is let through here, because Copier
    would answer it with a traceback; the blueprint then refuses it in one clear message.
    """
    question = CATALOGUE.question(name)
    offered: dict[str, Any] = {option.label: option.value for option in question.options}
    if name in given and given[name] not in question.values:
        offered[f"{given[name]} (unknown)"] = given[name]
    return json.dumps(offered)


def several(name: str) -> Literal["true", "false"]:
    """Whether there is anything to ask."""
    return "true" if len(CATALOGUE.question(name).options) > 1 else "false"
