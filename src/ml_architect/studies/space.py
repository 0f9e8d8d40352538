"""The search space of `tune`: the values that each setting may take."""

from __future__ import annotations

import json
import math
from itertools import islice, product
from typing import Annotated, Any, cast

from optuna.trial import Trial
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ..errors import CommandError, nearest
from ..runs.run import flatten
from .project import Settings
from .study import Study, format_errors, merge, nest

MAX_CORNERS = 8  # checked by the project; in a larger space, each value at least once


def _number(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise ValueError("expected a finite number")
    return value


Number = Annotated[Any, AfterValidator(_number)]  # integers stay integers


class Options(BaseModel):
    """One of several values."""

    model_config = ConfigDict(extra="forbid", strict=True)

    options: Annotated[list[Any], Field(min_length=2)]

    def __str__(self) -> str:
        return ", ".join(map(self.encode, self.options))

    def suggest(self, trial: Trial, name: str) -> Any:
        """A trial's value."""
        choices = list(map(self.encode, self.options))
        return json.loads(str(trial.suggest_categorical(name, choices)))

    def encode(self, value: Any) -> Any:
        """Convert a value for Optuna, whose choices can't be lists, to JSON."""
        return json.dumps(value, default=str)

    def contains(self, value: Any) -> bool:
        """Whether a value is one of the options."""
        return self.encode(value) in map(self.encode, self.options)


class Range(BaseModel):
    """Any value from low to high, both included."""

    model_config = ConfigDict(extra="forbid", strict=True)

    low: Number
    high: Number
    step: Number | None = None
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> Range:
        if not self.low < self.high:
            raise ValueError("expected low < high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0 and no step")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError("expected a step above 0, and at most high - low")
        return self

    def __str__(self) -> str:
        step = f" in steps of {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{step}{', logarithmic' if self.log else ''}"

    @property
    def is_integer(self) -> bool:
        """Whether only integers are suggested."""
        return all(isinstance(number, int) for number in (self.low, self.high, self.step or 1))

    def suggest(self, trial: Trial, name: str) -> Any:
        """A trial's value."""
        if self.is_integer:
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            return trial.suggest_int(name, low, high, step=step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def encode(self, value: Any) -> Any:
        """Convert a value for Optuna."""
        return value

    def contains(self, value: Any) -> bool:
        """Whether a value is in the range and on a step."""
        steps = (value - self.low) / self.step if self.step else 0.0
        return self.low <= value <= self.high and abs(steps - round(steps)) < 1e-6


Space = dict[str, Options | Range]
"""The values of each setting, by its full name."""


def parse_space(study: Study, table: Settings) -> Space:
    """Read [tune.space] and have the project check the corners of the space.

    Raises:
        CommandError: a setting is unknown, a value is refused, or a range isn't one.
    """
    space = _entries("tune.space", table)
    values = {
        name: entry.options if isinstance(entry, Options) else [entry.low, entry.high]
        for name, entry in space.items()
    }
    corners = [merge(study.settings, nest(corner)) for corner in _corners(values)]
    study.project.resolve_all([("tune.space", corner) for corner in corners])

    present = flatten(study.config)
    for name, entry in space.items():
        path = f"tune.space.{name}"
        if name not in present:
            hint = nearest(name, present, f"expected one of {', '.join(present)}")
            raise CommandError(f"{path}: the project has no such setting; {hint}")
        if name in ("seed", "checkpoint.metric", "checkpoint.mode"):
            raise CommandError(f"{path}: has to be the same in all trials")
        if isinstance(entry, Range):
            if isinstance(present[name], bool) or not isinstance(present[name], int | float):
                raise CommandError(f"{path}: expected options, since the setting isn't a number")
            if isinstance(present[name], float):
                space[name] = entry.model_copy(update={"low": float(entry.low)})
    return space


def _entries(path: str, table: Settings) -> Space:
    """The table's entries by the full name of the setting."""
    if not table:
        raise CommandError(f"{path}: expected settings, each with low and high, or options")
    space: Space = {}
    for name, value in table.items():
        if not isinstance(value, dict):
            raise CommandError(f"{path}.{name} = {value!r}: expected low and high, or options")
        entry = cast("Settings", value)
        if not entry.keys() & {"low", "high", "options"}:
            inner = _entries(f"{path}.{name}", entry)
            space |= {f"{name}.{below}": kind for below, kind in inner.items()}
            continue
        kind = Options if "options" in entry else Range
        try:
            space[name] = kind.model_validate(entry)
        except ValidationError as error:
            raise CommandError(format_errors(f"{path}.{name}", error)) from None
    return space


def _corners(values: dict[str, list[Any]]) -> list[Settings]:
    """Combinations of extreme values: all of them, or enough that each value occurs."""
    combinations = list(islice(product(*values.values()), MAX_CORNERS + 1))
    if len(combinations) > MAX_CORNERS:
        count = max(len(choices) for choices in values.values())
        combinations = [
            tuple(choices[number % len(choices)] for choices in values.values())
            for number in range(count)
        ]
    return [dict(zip(values, combination, strict=True)) for combination in combinations]
