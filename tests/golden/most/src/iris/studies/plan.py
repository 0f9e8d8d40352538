# The template's: updates improve this file and keep your edits.
"""What a study's table in a config file says; checked before anything is trained.

A study varies the settings of an ordinary run. Each value that it can try is put into a real
`Config` first, so that a setting that is unknown or out of range is refused in the config's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

from ..config import Config, flat, from_dict, merge, to_dict
from ..errors import ConfigError, Problem, unknown, unknown_setting

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ScalePlan:
    """A ladder: each size of the model on each share of the training records."""

    shares: tuple[float, ...]  # of the training records, ascending
    sizes: Mapping[str, Config]  # by name; one without a name where the model stays as it is

    @classmethod
    def parse(cls, table: object, base: Config) -> ScalePlan:
        """Read `[scale]`.

        Raises:
            ConfigError: naming all that is wrong with it.
        """
        stated = _table("scale", table, ("shares", "sizes"))
        shares = _several("scale.shares", stated.get("shares"), 2, "shares of 1")
        for each in shares:
            _varied("scale.shares", {"training": {"share": each}}, base)
        sizes = {
            name: _varied(f"scale.sizes.{name}", changes, base)
            for name, changes in _inner("scale.sizes", stated.get("sizes", {})).items()
        }
        _distinct("scale.sizes", sizes)
        return cls(tuple(sorted(float(each) for each in shares)), sizes or {"": base})


@dataclass(frozen=True, slots=True)
class Options:
    """A setting that takes one of several values."""

    values: tuple[bool | int | float | str, ...]

    def hold(self, value: Any) -> bool:
        """Whether the value is one of them."""
        return value in self.values

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A setting that takes any value from the lowest to the highest, both included."""

    low: float
    high: float
    step: float | None = None  # 1 of an integer's, unless it is drawn by magnitude
    log: bool = False  # whether it is drawn by its order of magnitude
    whole: bool = False  # whether the setting is an integer

    def hold(self, value: Any) -> bool:
        """Whether the value lies in the range, and on a step of it."""
        off = (value - self.low) / self.step if self.step else 0.0
        return self.low <= value <= self.high and abs(off - round(off)) < 1e-6

    def __str__(self) -> str:
        steps = f" in steps of {self.step:g}" if self.step and self.step != 1 else ""
        return f"{self.low:g} to {self.high:g}{steps}{', by magnitude' if self.log else ''}"


@dataclass(frozen=True, slots=True)
class TunePlan:
    """How many trials, and what they may differ in."""

    trials: int
    space: Mapping[str, Options | Range]  # by the setting's full name

    @classmethod
    def parse(cls, table: object, base: Config) -> TunePlan:
        """Read `[tune]`.

        Raises:
            ConfigError: naming all that is wrong with it.
        """
        stated = _table("tune", table, ("trials", "space"))
        trials = stated.get("trials")
        if not isinstance(trials, int) or isinstance(trials, bool) or trials < 1:
            raise ConfigError([Problem("tune.trials", trials, "an integer, at least 1")])
        settings, space = to_dict(base), dict[str, Options | Range]()
        for name, value in _inner("tune.space", stated.get("space", {})).items():
            inner = settings.get(name)
            if not isinstance(inner, dict):
                space[name] = _choice(name, value, base)
                continue
            for setting, each in _inner(f"tune.space.{name}", value).items():
                space[f"{name}.{setting}"] = _choice(f"{name}.{setting}", each, base)
        if not space:
            raise ConfigError(["tune.space: expected a setting to choose, with its range"])
        return cls(trials, space)


@dataclass(frozen=True, slots=True)
class AblatePlan:
    """What is changed, one at a time, and with which seeds each is trained."""

    seeds: tuple[int, ...]
    changes: Mapping[str, Config]  # by name

    @classmethod
    def parse(cls, table: object, base: Config) -> AblatePlan:
        """Read `[ablate]`.

        Raises:
            ConfigError: naming all that is wrong with it.
        """
        stated = _table("ablate", table, ("seeds", "changes"))
        seeds = _several("ablate.seeds", stated.get("seeds"), 2, "integers")
        for each in seeds:
            _varied("ablate.seeds", {"seed": each}, base)
        given, changes = _inner("ablate.changes", stated.get("changes", {})), dict[str, Config]()
        for name, change in given.items():
            path = f"ablate.changes.{name}"
            changes[name] = _varied(path, change, base)
            if changes[name].seed != base.seed or changes[name].checkpoint != base.checkpoint:
                raise ConfigError([f"{path}: the seed and checkpoint. are the same for all"])
            if changes[name] == base:
                raise ConfigError([f"{path}: changes nothing; the base has these values already"])
        if not changes:
            raise ConfigError(["ablate.changes: expected a name and what it changes"])
        _distinct("ablate.changes", [*changes, "baseline"])
        return cls(tuple(seeds), changes)


def slug(name: str) -> str:
    """A name as part of a folder's."""
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:80].lower()


def nested(values: Mapping[str, Any]) -> Values:
    """Settings by their full names, in their sections."""
    found: Values = {}
    for path, value in values.items():
        section, _, name = path.rpartition(".")
        found = merge(found, {section: {name: value}} if section else {name: value})
    return found


def _varied(path: str, changes: object, base: Config) -> Config:
    """The base with some settings changed."""
    try:
        return from_dict(merge(to_dict(base), _inner(path, changes)))
    except ConfigError as error:
        raise ConfigError(f"{path}: {each}" for each in error.problems) from None


def _choice(setting: str, stated: object, base: Config) -> Options | Range:
    """What a setting may become: each option and both ends of a range are tried on a config."""
    path, present = f"tune.space.{setting}", flat(to_dict(base))
    if setting not in present:
        raise ConfigError([f"tune.space: {unknown_setting(setting, list(present))}"])
    if setting.startswith("checkpoint.") or setting == "seed":
        raise ConfigError([f"{path}: what trials are compared by is the same for all"])
    if isinstance(stated, dict) and "options" in stated:
        options = _several(f"{path}.options", _table(path, stated, ("options",))["options"], 2)
        for each in options:
            _varied(path, nested({setting: each}), base)
        return Options(tuple(options))
    found = _table(path, stated, ("low", "high", "step", "log"))
    low, high = found.get("low"), found.get("high")
    step, log = found.get("step"), found.get("log", False)
    for each in (low, high):
        _varied(path, nested({setting: each}), base)
    whole = isinstance(present[setting], int)
    if whole and step is None:
        step = 1 if not log else None
    if not (_is_number(low) and _is_number(high) and low < high):
        raise ConfigError([Problem(f"{path}.low", low, f"a number below high = {high!r}")])
    if log not in (True, False) or (log and (low <= 0 or step is not None)):
        expected = "true or false; true goes with a low above 0 and without step"
        raise ConfigError([Problem(f"{path}.log", log, expected)])
    if step is not None and not (_is_number(step) and step > 0 and (not whole or step % 1 == 0)):
        expected = "an integer above 0" if whole else "a number above 0"
        raise ConfigError([Problem(f"{path}.step", step, expected)])
    return Range(low=low, high=high, step=step, log=log, whole=whole)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _table(path: str, stated: object, known: Iterable[str]) -> Values:
    found = _inner(path, stated)
    if strange := [name for name in found if name not in known]:
        valid = [f"{path}.{name}" for name in known]
        raise ConfigError(unknown(f"{path}.{name}", valid) for name in strange)
    return found


def _inner(path: str, stated: object) -> Values:
    if not isinstance(stated, dict):
        raise ConfigError([Problem(path, stated, "a table")])
    return cast("Values", stated)


def _several(path: str, stated: object, least: int, kind: str = "values") -> list[Any]:
    """A list of different values, each of which is put into a config later."""
    values = cast("list[Any]", stated) if isinstance(stated, list) else []
    if len(values) < least or len(set(map(repr, values))) < len(values):
        expected = f"a list of at least {least} different {kind}"
        raise ConfigError([Problem(path, stated, expected)])
    return values


def _distinct(path: str, names: Iterable[str]) -> None:
    """Runs lie in folders of these names."""
    seen: dict[str, str] = {}
    for name in names:
        if not slug(name):
            raise ConfigError([f"{path}.{name!r}: expected a name with a letter or a digit in it"])
        other = seen.setdefault(slug(name), name)
        if other != name:
            raise ConfigError([f"{path}: {other!r} and {name!r} would share a folder's name"])
