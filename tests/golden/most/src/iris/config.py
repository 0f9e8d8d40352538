# The template's: updates improve this file and keep your edits.
"""Every setting: its type, its bounds, its default. Frozen, checked when it is made.

A setting is named as on the command line and in a config file: `training.max_steps`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError

from .errors import ConfigError, Problem, unknown, unknown_setting


class _Check:
    """Looks at the settings of one section and raises what it found, all of it."""

    def __init__(self, section: str, config: object) -> None:
        self._prefix = f"{section}." if section else ""
        self._config = config
        self._problems: list[Problem] = []

    def bounds(
        self,
        name: str,
        *,
        at_least: float = -math.inf,
        more_than: float = -math.inf,
        at_most: float = math.inf,
        less_than: float = math.inf,
    ) -> None:
        value = getattr(self._config, name)
        if not math.isfinite(value):
            self._note(name, "a finite number")
        elif value < at_least:
            self._note(name, f"at least {at_least:g}")
        elif value <= more_than:
            self._note(name, f"more than {more_than:g}")
        elif value > at_most:
            self._note(name, f"at most {at_most:g}")
        elif value >= less_than:
            self._note(name, f"less than {less_than:g}")

    def require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            self._note(name, expected)
            self.done()

    def done(self) -> None:
        if self._problems:
            raise ConfigError(self._problems)

    def _note(self, name: str, expected: str) -> None:
        given = getattr(self._config, name)
        self._problems.append(Problem(self._prefix + name, given, expected))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where the records come from and how they are split."""

    validation_fraction: float = 0.1
    """Share of the records that choose the best checkpoint."""
    test_fraction: float = 0.1
    """Share of the records that only `evaluate` sees."""
    cache_dir: Path = Path("data/cache")
    """Where prepared records are kept; safe to delete."""
    workers: int = 0
    """Processes that prepare batches; 0 prepares them in the training process."""
    path: Path = Path("data/records.csv")
    """The table: an id, numbers, and a label in the last column."""

    def __post_init__(self) -> None:
        check = _Check("data", self)
        check.bounds("validation_fraction", more_than=0, less_than=1)
        check.bounds("test_fraction", more_than=0, less_than=1)
        check.bounds("workers", at_least=0)
        check.done()
        check.require(
            self.validation_fraction + self.test_fraction < 1,
            "test_fraction",
            "a sum with data.validation_fraction below 1, or nothing is left to train on",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesConfig:
    """Augmentation, drawn anew for every batch of training."""

    noise: float = 0.02
    """Standard deviation of the noise on each column, as a share of its own."""

    def __post_init__(self) -> None:
        check = _Check("features", self)
        check.bounds("noise", at_least=0, at_most=1)
        check.done()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The size and the regularisation of the network."""

    hidden: int = 64
    """Width of the two hidden layers."""
    dropout: float = 0.1
    """Chance that a unit is dropped in training."""

    def __post_init__(self) -> None:
        check = _Check("model", self)
        check.bounds("hidden", at_least=1)
        check.bounds("dropout", at_least=0, less_than=1)
        check.done()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """One run of the optimizer: how long, how fast, on what."""

    batch_size: int = 32
    """Records in one optimizer step."""
    accumulation_steps: int = 1
    """Parts that a batch is split into, to fit the memory."""
    max_steps: int = 1000
    """Optimizer steps."""
    patience: int = 0
    """Steps without a better checkpoint after which training ends; 0 waits for ever."""
    max_minutes: float = 0.0
    """Wall-clock time after which training ends, resumptions added up; 0 sets no limit."""
    train_fraction: float = 1.0
    """Fraction of the training examples that is used."""
    learning_rate: float = 0.003
    """The peak, reached after the warm-up; it then falls to zero along a cosine."""
    warmup_steps: int = 50
    """Steps over which the learning rate rises from zero."""
    weight_decay: float = 0.01
    """Decoupled decay of matrices; biases and norms are spared."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    log_every: int = 10
    """Steps between two lines of metrics.jsonl."""
    evaluate_every: int = 100
    """Steps between two passes over the validation split."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes the first GPU that works."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` runs matrix products in half the memory; the weights stay float32."""
    compile: bool = False
    """Whether steps are compiled: half a minute's wait, then less time a step."""

    def __post_init__(self) -> None:
        check = _Check("training", self)
        check.bounds("batch_size", at_least=1)
        check.bounds("accumulation_steps", at_least=1)
        check.bounds("max_steps", at_least=1)
        check.bounds("patience", at_least=0)
        check.bounds("max_minutes", at_least=0)
        check.bounds("train_fraction", more_than=0, at_most=1)
        check.bounds("learning_rate", more_than=0, at_most=10)
        check.bounds("warmup_steps", at_least=0)
        check.bounds("weight_decay", at_least=0, at_most=1)
        check.bounds("gradient_clip", more_than=0)
        check.bounds("log_every", at_least=1)
        check.bounds("evaluate_every", at_least=1)
        check.done()
        check.require(
            self.batch_size % self.accumulation_steps == 0,
            "accumulation_steps",
            "a divisor of training.batch_size, so that all parts weigh the same",
        )
        check.require(
            self.warmup_steps < self.max_steps,
            "warmup_steps",
            "less than training.max_steps, or the peak is never reached",
        )
        check.require(
            self.batch_size // self.accumulation_steps >= 2,
            "batch_size",
            "at least twice training.accumulation_steps, for batch normalisation",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    """When the state is saved and which checkpoints stay."""

    metric: Literal["validation/loss", "validation/accuracy"] = "validation/loss"
    """Metric that selects the best checkpoint."""
    mode: Literal["min", "max"] = "min"
    """Whether a lower or a higher value of the metric is better."""
    minutes: float = 10.0
    """Wall-clock time between two checkpoints: what a kill costs, and a step."""

    def __post_init__(self) -> None:
        check = _Check("checkpoint", self)
        check.bounds("minutes", more_than=0)
        check.done()
        check.require(
            (self.metric == "validation/loss") == (self.mode == "min"),
            "mode",
            "'min' for a loss and 'max' for an accuracy",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OverfitConfig:
    """Step 4: a model that can't overfit a few batches has a bug."""

    batches: int = 2
    """Batches that the model has to overfit."""
    loss_threshold: float = 0.05
    """Highest loss on those batches that passes."""

    def __post_init__(self) -> None:
        check = _Check("overfit", self)
        check.bounds("batches", at_least=1)
        check.bounds("loss_threshold", more_than=0)
        check.done()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All that decides how a run goes."""

    seed: int = 0
    """The source of all chance: weights, order of the batches, augmentation, dropout."""
    data: DataConfig = field(default_factory=DataConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    overfit: OverfitConfig = field(default_factory=OverfitConfig)

    def __post_init__(self) -> None:
        check = _Check("", self)
        check.bounds("seed", at_least=0)
        check.done()


def to_dict(config: Config) -> dict[str, Any]:
    """A config as plain values, ready for TOML or JSON."""
    return _converter.unstructure(config)


def from_dict(values: Mapping[str, Any]) -> Config:
    """The config that a file states; what it doesn't say keeps its default.

    Raises:
        ConfigError: with every problem, not the first alone.
    """
    try:
        return _converter.structure(values, Config)
    except ClassValidationError as error:
        raise ConfigError(_problems(error, "", Config, values)) from None


def _strictly(expected: str, *kinds: type) -> Any:
    """A hook that takes values of these types and no others: "1" is text, and true isn't 1."""

    def structure(value: Any, kind: type) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ConfigError([Problem("", value, expected)])
        return kind(value)

    return structure


def _option(value: Any, options: Any) -> Any:
    if value not in get_args(options):
        *most, last = (repr(option) for option in get_args(options))
        raise ConfigError([Problem("", value, f"{', '.join(most)} or {last}")])
    return value


_converter = Converter(forbid_extra_keys=True)
_converter.register_structure_hook(int, _strictly("an integer", int))
_converter.register_structure_hook(float, _strictly("a number", int, float))
_converter.register_structure_hook(bool, _strictly("true or false", bool))
_converter.register_structure_hook(str, _strictly("text", str))
_converter.register_structure_hook(Path, _strictly("a path", str))
_converter.register_structure_hook_func(lambda kind: get_origin(kind) is Literal, _option)


def _settings(kind: Any, prefix: str = "") -> Iterator[str]:
    for name, inner in get_type_hints(kind).items():
        if is_dataclass(inner):
            yield from _settings(inner, f"{name}.")
        yield prefix + name


def _problems(
    error: ClassValidationError, prefix: str, kind: Any, values: Any
) -> Iterator[Problem | str]:
    """What cattrs found in our words, which are the same whatever a config is made of."""
    attributes, others = error.group_exceptions()
    for cause, note in attributes:
        path, given, inner = prefix + note.name, values[note.name], get_type_hints(kind)[note.name]
        if isinstance(cause, ClassValidationError):
            yield from _problems(cause, f"{path}.", inner, given)
        elif isinstance(cause, ConfigError):
            for each in cause.problems:
                yield Problem(path, given, each.expected) if isinstance(each, Problem) else each
        else:
            yield Problem(path, given, "a table of settings")
    for cause in others:
        if isinstance(cause, ForbiddenExtraKeysError):
            for name in sorted(cause.extra_fields):
                yield unknown_setting(prefix + name, list(_settings(Config)))
        elif isinstance(cause, ConfigError):
            yield from cause.problems


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
