# The template's: updates improve this file and keep your edits.
"""The config of a run. What your own code reads is in settings.py, the rest is here."""

import ast
import inspect
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from cattrs import BaseValidationError, Converter, transform_error
from cattrs.errors import ForbiddenExtraKeysError

from .errors import ConfigError, did_you_mean
from .section import require
from .settings import DataConfig, FeaturesConfig, ModelConfig
from .training.retention import CheckpointConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    batch_size: int = 32
    """Examples per optimizer step."""
    parts: int = 1
    """Parts that a batch is split into, to save memory, or to share it between processes."""
    max_steps: int = 1000
    """Number of optimizer steps."""
    patience: int = 0
    """Early stopping: steps without improvement; 0 disables it."""
    max_minutes: float = 0.0
    """Limit on the wall-clock time, summed over restarts; 0 disables it."""
    train_fraction: float = 1.0
    """Fraction of the training examples that is used."""
    learning_rate: float = 0.003
    """Peak learning rate, after a linear warmup and before a cosine decay to zero."""
    warmup_steps: int = 50
    """Steps over which the learning rate rises from zero."""
    weight_decay: float = 0.01
    """Weight decay of AdamW; not applied to biases and norms."""
    gradient_clip: float = 1.0
    """Maximum gradient norm."""
    log_every: int = 10
    """Steps between two lines of metrics.jsonl."""
    evaluate_every: int = 100
    """Steps between two evaluations on the validation split."""
    workers: int = 0
    """Processes that load data; 0 loads in the training process."""
    timeout_minutes: float = 10.0
    """With several processes: how long one waits for another before it gives up."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto (a GPU if there is one), cpu, cuda or mps."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """float32 or bfloat16 (mixed precision: the weights stay in float32)."""
    compile: bool = False
    """Compile the model with torch.compile: a slow first step, then faster ones."""

    def __post_init__(self) -> None:
        size, parts, steps = self.batch_size, self.parts, self.max_steps
        require(
            self,
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("parts", parts >= 1 and size % parts == 0, f"a divisor of batch_size, {size}"),
            ("max_steps", 1 <= steps <= 10**9, "1 to 1,000,000,000"),
            ("patience", self.patience >= 0, "at least 0"),
            ("max_minutes", self.max_minutes >= 0, "at least 0"),
            ("train_fraction", 0 < self.train_fraction <= 1, "more than 0, at most 1"),
            ("learning_rate", 0 < self.learning_rate <= 10, "more than 0, at most 10"),
            ("warmup_steps", 0 <= self.warmup_steps < steps, f"less than max_steps, {steps}"),
            ("weight_decay", 0 <= self.weight_decay <= 1, "0 to 1"),
            ("gradient_clip", self.gradient_clip > 0, "more than 0"),
            ("log_every", self.log_every >= 1, "at least 1"),
            ("evaluate_every", self.evaluate_every >= 1, "at least 1"),
            ("workers", 0 <= self.workers <= 256, "0 to 256"),
            ("timeout_minutes", 0 < self.timeout_minutes <= 1440, "more than 0, at most 1440"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OverfitConfig:
    batches: int = 2
    """Batches that the model has to overfit."""
    max_loss: float = 0.05
    """Highest loss on them that passes, as a fraction of the loss before training."""

    def __post_init__(self) -> None:
        require(
            self,
            ("batches", self.batches >= 1, "at least 1"),
            ("max_loss", 0 < self.max_loss <= 1, "more than 0, at most 1"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    seed: int = 0
    """Random seed of the weights, the order of the examples, augmentation and dropout."""
    cache_dir: Path = Path("data/cache")
    """Folder for validated examples; safe to delete."""
    data: DataConfig = DataConfig()  # noqa: RUF009, it is frozen
    features: FeaturesConfig = FeaturesConfig()  # noqa: RUF009, it is frozen
    model: ModelConfig = ModelConfig()  # noqa: RUF009, it is frozen
    training: TrainingConfig = TrainingConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()  # noqa: RUF009, it is frozen
    overfit: OverfitConfig = OverfitConfig()

    def __post_init__(self) -> None:
        require(self, ("seed", self.seed >= 0, "at least 0"))


def from_dict(values: Mapping[str, Any]) -> Config:
    """Build a config; settings that aren't given keep their defaults.

    Raises:
        ConfigError: with one line per problem.
    """
    try:
        return _converter.structure(values, Config)
    except BaseValidationError as error:
        problems = transform_error(error, path="", format_exception=_message)
        raise ConfigError("\n".join(map(_path_first, problems))) from None


def to_dict(config: Any) -> dict[str, Any]:
    """Plain values, ready for TOML or JSON."""
    return _converter.unstructure(config)


def descriptions() -> dict[str, str]:
    """The settings, such as `training.max_steps`, and what they mean."""
    texts: dict[str, str] = {}
    for field in fields(Config):
        if is_dataclass(field.default):
            section = _docstrings(type(field.default))
            texts |= {f"{field.name}.{name}": text for name, text in section.items()}
        else:
            texts[field.name] = _docstrings(Config)[field.name]
    return texts


def _docstrings(section: type) -> dict[str, str]:
    """The string below each field, which Python itself doesn't keep."""
    (definition,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(definition, ast.ClassDef)
    texts = dict.fromkeys(section.__annotations__, "")
    for statement, following in pairwise(definition.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
            target, text = statement.target, following.value
            if isinstance(target, ast.Name) and isinstance(text, ast.Constant):
                texts[target.id] = str(text.value)
    return texts


def _exactly(value: Any, kind: Any) -> Any:
    """Refuse what cattrs would convert, such as 2.5 to the integer 2."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is int and value.bit_length() > 63:
        raise TypeError("expected an integer of at most 63 bits")  # others can't be printed
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise TypeError(
            f"expected {'a finite ' if kind is float else ''}{kind.__name__} (got {value!r})"
        )
    return value


def _message(error: BaseException, kind: Any) -> str:
    if isinstance(error, ForbiddenExtraKeysError):
        names = sorted(error.extra_fields)
        more = [f": {len(names)} in all"] * (len(names) > 20)
        return "\n".join([*(f".{name}: unknown setting" for name in names[:20]), *more])
    if isinstance(error, ValueError) and kind is None:  # raised by a section's own checks
        return "\n".join(f".{line}" for line in str(error).splitlines())
    if is_dataclass(kind):
        return ": expected a table of settings"
    if get_origin(kind) is Literal:
        value = str(error).partition(" not in literal")[0]
        return f": expected one of {', '.join(map(str, get_args(kind)))} (got {value!r})"
    return f": {error}"


def _path_first(problem: str) -> str:
    """`: expected int @ .training.max_steps` as `training.max_steps: expected int`."""
    text, _, path = problem.rpartition(" @ ")
    lines = [f"{path}{line}".removeprefix(".") for line in text.splitlines()]
    unknown = ": unknown setting"
    return "\n".join(
        line + did_you_mean(line.removesuffix(unknown), descriptions())
        if line.endswith(unknown)
        else line
        for line in lines
    )


_converter = Converter(forbid_extra_keys=True)
for _kind in (bool, int, float, str):
    _converter.register_structure_hook(_kind, _exactly)
_converter.register_unstructure_hook(Path, str)


def read_toml(path: Path) -> dict[str, Any]:
    """The values in a TOML file, unchecked.

    Raises:
        ConfigError: the file doesn't exist or isn't TOML.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(10**6)
        if len(text) == 10**6 or "\\u0000" in text:
            raise ValueError("expected less than a million characters, none of them NUL")
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        files = [str(file) for file in path.parent.glob("*.toml")]
        raise ConfigError(f"{path}: {error.strerror}{did_you_mean(str(path), files)}") from None


def merge(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, in which the overrides win."""
    merged = dict(values)
    for name, value in overrides.items():
        below = merged.get(name)
        if isinstance(value, dict) and isinstance(below, dict):
            value = merge(below, value)
        merged[name] = value
    return merged


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"training": {"max_steps": 5}}` as `{"training.max_steps": 5}`."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def drop_unknown(values: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Without the settings that no longer exist: for the config of an earlier run."""
    return {
        name: drop_unknown(value, known[name]) if isinstance(known[name], dict) else value
        for name, value in values.items()
        if name in known
    }
