# The template's: updates improve this file and keep your edits.
"""The config of a run. What your own code reads is in settings.py, the rest is here."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from .errors import ConfigError, did_you_mean
from .section import Section
from .settings import DataConfig, FeaturesConfig, ModelConfig
from .training.retention import CheckpointConfig


class TrainingConfig(Section):
    batch_size: int = Field(default=32, ge=1)
    """Examples per optimizer step."""
    parts: int = Field(default=1, ge=1)
    """Parts that a batch is split into, to save memory, or to share it between processes."""
    max_steps: int = Field(default=1000, ge=1, le=10**9)
    """Number of optimizer steps."""
    patience: int = Field(default=0, ge=0)
    """Early stopping: steps without improvement; 0 disables it."""
    max_minutes: float = Field(default=0.0, ge=0)
    """Limit on the wall-clock time, summed over restarts; 0 disables it."""
    train_fraction: float = Field(default=1.0, gt=0, le=1)
    """Fraction of the training examples that is used."""
    learning_rate: float = Field(default=0.003, gt=0, le=10)
    """Peak learning rate, after a linear warmup and before a cosine decay to zero."""
    warmup_steps: int = Field(default=50, ge=0)
    """Steps over which the learning rate rises from zero."""
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    """Weight decay of AdamW; not applied to biases and norms."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Maximum gradient norm."""
    log_every: int = Field(default=10, ge=1)
    """Steps between two lines of metrics.jsonl."""
    evaluate_every: int = Field(default=100, ge=1)
    """Steps between two evaluations on the validation split."""
    workers: int = Field(default=0, ge=0, le=256)
    """Processes that load data; 0 loads in the training process."""
    timeout_minutes: float = Field(default=10.0, gt=0, le=1440)
    """With several processes: how long one waits for another before it gives up."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """auto (a GPU if there is one), cpu, cuda or mps."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """float32 or bfloat16 (mixed precision: the weights stay in float32)."""
    compile: bool = False
    """Compile the model with torch.compile: a slow first step, then faster ones."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.batch_size % self.parts:
            message = f"expected a divisor of batch_size, {self.batch_size} (got {self.parts})"
            raise ValueError(f"parts: {message}")
        if self.warmup_steps >= self.max_steps:
            message = f"expected less than max_steps, {self.max_steps} (got {self.warmup_steps})"
            raise ValueError(f"warmup_steps: {message}")
        return self


class OverfitConfig(Section):
    batches: int = Field(default=2, ge=1)
    """Batches that the model has to overfit."""
    max_loss: float = Field(default=0.05, gt=0, le=1)
    """Highest loss on them that passes, as a fraction of the loss before training."""


class Config(Section):
    seed: int = Field(default=0, ge=0)
    """Random seed of the weights, the order of the examples, augmentation and dropout."""
    cache_dir: Path = Path("data/cache")
    """Folder for validated examples; safe to delete."""
    data: DataConfig = DataConfig()
    features: FeaturesConfig = FeaturesConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    overfit: OverfitConfig = OverfitConfig()


def from_dict(values: Mapping[str, Any]) -> Config:
    """Build a config; settings that aren't given keep their defaults.

    Raises:
        ConfigError: with one line per problem.
    """
    try:
        # As JSON, where a path is a string and a tuple is a list, as in TOML.
        return Config.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems = [_message(problem) for problem in error.errors()[:20]]
        problems += [f"… {error.error_count()} in all"] * (error.error_count() > 20)
        raise ConfigError("\n".join(problems)) from None


def to_dict(config: Section) -> dict[str, Any]:
    """Plain values, ready for TOML or JSON."""
    return config.model_dump(mode="json")


def descriptions() -> dict[str, str]:
    """The settings, such as `training.max_steps`, and what they mean."""
    texts: dict[str, str] = {}
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            for inner, setting in section.model_fields.items():
                texts[f"{name}.{inner}"] = setting.description or ""
        else:
            texts[name] = field.description or ""
    return texts


def _message(problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{path}: unknown setting{did_you_mean(path, descriptions())}"
    if problem["type"] == "value_error":  # raised by a section's own check
        return f"{path}.{problem['ctx']['error']}"
    return f"{path}: {problem['msg']} (got {problem['input']!r})"


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
