# The template's: updates improve this file and keep your edits.
"""Every setting: its type, its bounds, its default. Frozen, checked when it is made.

A setting is named as on the command line and in a config file: `training.max_steps`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from .errors import ConfigError, Problem, unknown, unknown_setting

if TYPE_CHECKING:  # pydantic brings it, at a version that fits
    from pydantic_core import ErrorDetails


class Section(BaseModel):
    """Base of all sections: nothing is coerced, nothing unknown is let through."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    section: ClassVar[str] = ""

    @model_validator(mode="wrap")
    @classmethod
    def _explained(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            raise ConfigError(_problem(cls, each) for each in error.errors()) from None


def _require(holds: bool, setting: str, given: object, expected: str) -> None:
    if not holds:
        raise ConfigError([Problem(setting, given, expected)])


class DataConfig(Section):
    """Where the records come from and how they are split."""

    section = "data"

    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the records that choose the best checkpoint."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the records that only `evaluate` sees."""
    cache_dir: Annotated[Path, Field(strict=False)] = Path("data/cache")
    """Where prepared records are kept; safe to delete."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that prepare batches; 0 prepares them in the training process."""
    path: str = "digits"
    """`digits`: scikit-learn's scans; else a folder with a folder a class."""
    size: Annotated[int, Field(ge=2, le=4096)] = 8
    """Pixels on each side, to which images are scaled and cut."""
    color: bool = False
    """Whether colours are kept, as three channels."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _require(
            self.validation_fraction + self.test_fraction < 1,
            "data.test_fraction",
            self.test_fraction,
            "a sum with data.validation_fraction below 1, or nothing is left to train on",
        )
        return self


class FeaturesConfig(Section):
    """Augmentation, drawn anew for every batch of training."""

    section = "features"

    max_shift: Annotated[int, Field(ge=0, le=64)] = 1
    """Largest shift of an image in each direction, in pixels."""
    flip: bool = False
    """Whether half of the images are mirrored: not where left and right differ."""
    noise: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Standard deviation of the noise on pixels, which lie in 0..1."""


class ModelConfig(Section):
    """The size and the regularisation of the network."""

    section = "model"

    channels: Annotated[int, Field(ge=1)] = 16
    """Channels after the first convolution; the second doubles them."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Chance that a unit is dropped in training."""


class TrainingConfig(Section):
    """One run of the optimizer: how long, how fast, on what."""

    section = "training"

    batch_size: Annotated[int, Field(ge=1)] = 32
    """Records in one optimizer step."""
    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """Parts that a batch is split into, to fit the memory."""
    max_steps: Annotated[int, Field(ge=1)] = 1000
    """Optimizer steps."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Steps without a better checkpoint after which training ends; 0 waits for ever."""
    max_minutes: Annotated[float, Field(ge=0)] = 0.0
    """Wall-clock time after which training ends, resumptions added up; 0 sets no limit."""
    train_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Fraction of the training examples that is used."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.003
    """The peak, reached after the warm-up; it then falls to zero along a cosine."""
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    """Steps over which the learning rate rises from zero."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Decoupled decay of matrices; biases and norms are spared."""
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient."""
    log_every: Annotated[int, Field(ge=1)] = 10
    """Steps between two lines of metrics.jsonl."""
    evaluate_every: Annotated[int, Field(ge=1)] = 100
    """Steps between two passes over the validation split."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes the first GPU that works."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` runs matrix products in half the memory; the weights stay float32."""
    compile: bool = False
    """Whether steps are compiled: half a minute's wait, then less time a step."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _require(
            self.batch_size % self.accumulation_steps == 0,
            "training.accumulation_steps",
            self.accumulation_steps,
            "a divisor of training.batch_size, so that all parts weigh the same",
        )
        _require(
            self.warmup_steps < self.max_steps,
            "training.warmup_steps",
            self.warmup_steps,
            "less than training.max_steps, or the peak is never reached",
        )
        return self


class CheckpointConfig(Section):
    """When the state is saved and which checkpoints stay."""

    section = "checkpoint"

    metric: Literal["validation/loss", "validation/accuracy"] = "validation/loss"
    """Metric that selects the best checkpoint."""
    mode: Literal["min", "max"] = "min"
    """Whether a lower or a higher value of the metric is better."""
    every: Annotated[int, Field(ge=1)] = 500
    """Steps between two checkpoints: the most that a crash can cost."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _require(
            (self.metric == "validation/loss") == (self.mode == "min"),
            "checkpoint.mode",
            self.mode,
            "'min' for a loss and 'max' for an accuracy",
        )
        return self


class OverfitConfig(Section):
    """Step 4: a model that can't overfit a few batches has a bug."""

    section = "overfit"

    batches: Annotated[int, Field(ge=1)] = 2
    """Batches that the model has to overfit."""
    loss_threshold: Annotated[float, Field(gt=0)] = 0.05
    """Highest loss on those batches that passes."""


class Config(Section):
    """All that decides how a run goes."""

    seed: Annotated[int, Field(ge=0)] = 0
    """The source of all chance: weights, order of the batches, augmentation, dropout."""
    data: DataConfig = Field(default_factory=DataConfig)
    features: FeaturesConfig = Field(default_factory=FeaturesConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    overfit: OverfitConfig = Field(default_factory=OverfitConfig)


def to_dict(config: Config) -> dict[str, Any]:
    """A config as plain values, ready for TOML or JSON."""
    return config.model_dump(mode="json")


def from_dict(values: Mapping[str, Any]) -> Config:
    """The config that a file states; what it doesn't say keeps its default.

    Raises:
        ConfigError: with every problem, not the first alone.
    """
    sections: dict[str, Any] = dict(values)
    problems: list[Problem | str] = []
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if name in values and isinstance(kind, type) and issubclass(kind, Section):
            try:
                sections[name] = kind.model_validate(values[name])
            except ConfigError as error:
                problems.extend(error.problems)
                del sections[name]
    try:
        config = Config.model_validate(sections)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    return config


def _settings(kind: type[Section], prefix: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from _settings(inner, f"{name}.")
        yield prefix + name


_EXPECTED = {  # Pydantic's names of errors in our words, which dataclasses would use as well
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "an integer",
    "int_type": "an integer",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "model_type": "a table of settings",
    "path_type": "a path",
    "string_type": "text",
}


def _problem(kind: type[Section], error: ErrorDetails) -> Problem | str:
    path = ".".join(str(part) for part in (kind.section, *error["loc"]) if part)
    if error["type"] == "extra_forbidden":
        return unknown_setting(path, list(_settings(Config)))
    expected = _EXPECTED[error["type"]].format(**error.get("ctx", {}))
    return Problem(path, error["input"], expected)


def read(path: Path) -> dict[str, Any]:
    """The settings that a TOML file states, unchecked.

    Raises:
        ConfigError: the file is missing, or isn't TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except IsADirectoryError:
        raise ConfigError([f"{path}: expected a TOML file, and this is a folder"]) from None
    except FileNotFoundError:
        near = sorted(str(each) for each in path.parent.glob("*.toml"))
        hint = unknown(str(path), near, "file") if near else f"{path}: there is no such file"
        raise ConfigError([hint]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: expected TOML; {error}"]) from None


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two layers of settings as one: where both state a setting, the upper one counts."""
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        if isinstance(value, dict) and isinstance(under, dict):
            merged[name] = merge(cast("dict[str, Any]", under), cast("dict[str, Any]", value))
        else:
            merged[name] = value
    return merged


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by their full names, such as `training.max_steps`."""
    named: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            named |= flat(value, f"{prefix}{name}.")
        else:
            named[prefix + name] = value
    return named
