# The template's: updates improve this file and keep your edits.
"""What an example is, and the checks of every example before anything expensive begins."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..training.files import read_json

Array = NDArray[Any]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SPLIT_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "Train"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "Validation"), "validation"),
    **dict.fromkeys(("test", "testing", "Test"), "test"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One example, as data/source.py reads it."""

    id: str
    inputs: Array
    target: Array | float | None  # a class index, a number or an array; None for `predict`
    split: Split = "test"
    group: str = ""  # examples of a group must share a split, such as all scans of a patient
    file: str = ""  # for error messages
    warning: str = ""  # what is unusual about it; `validate` counts examples with the same warning
    metadata: Mapping[str, float | str] = field(default_factory=dict[str, float | str])
    """What else is known. Nothing is learned from it; metrics can be sliced by it."""


class Unreadable(NamedTuple):
    """Yielded in place of an example, so that reading continues and every problem is listed."""

    id: str
    problem: str
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a valid example looks like."""

    dtype: str  # of the inputs, such as "uint8"
    shape: tuple[int, ...]  # of the inputs; -1 for any length
    low: float = -math.inf  # smallest valid input
    high: float = math.inf  # largest valid input
    missing: bool = False  # whether inputs may be NaN
    classes: tuple[str, ...] = ()  # names; empty if targets aren't class indices
    target_shape: tuple[int, ...] = ()
    target_dtype: str = "int64"  # for class indices; "float32" for other numbers
    vocabulary_size: int = 0  # of text, whose targets are the inputs' next tokens
    notes: tuple[str, ...] = ()  # lines that `validate` prints
    learned: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What was learned from the data to read it, such as the kinds of columns, or a tokenizer."""

    @property
    def is_classification(self) -> bool:
        """Whether a target is the index of one class."""
        return bool(self.classes) and self.target_shape == ()

    @property
    def num_outputs(self) -> int:
        """Numbers that the network predicts: one per class, or else one per number of a target."""
        return self.vocabulary_size or len(self.classes) or math.prod(self.target_shape)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From the schema.json of a cache or a run.

        Raises:
            DataError: it is damaged.
        """
        try:
            values = read_json(folder / "schema.json")
            for name in ("shape", "classes", "target_shape", "notes"):
                values[name] = tuple(values.get(name, ()))
            return cls(**values)
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{folder}/schema.json: can't be read: {error}") from None

    def problems(self, example: Example | Unreadable, *, labeled: bool = True) -> Iterator[str]:
        """What is wrong with an example, without its target if it isn't labeled."""
        if isinstance(example, Unreadable):
            yield example.problem
            return
        yield from self._input_problems(example.inputs)
        if not labeled or self.vocabulary_size:
            return
        target = np.asarray(math.nan if example.target is None else example.target)
        if target.shape != self.target_shape:
            yield f"target of shape {target.shape}, expected {self.target_shape}"
        elif not np.isfinite(target).all():
            yield "the target is missing or not finite"
        elif self.classes and not ((target >= 0) & (target < len(self.classes))).all():
            yield f"target {target}, expected class indices from 0 to {len(self.classes) - 1}"
        elif "int" in self.target_dtype and (target % 1).any():
            yield f"target {target}, expected integers, or target_dtype float32 in the schema"

    def _input_problems(self, inputs: Array) -> Iterator[str]:
        sizes = zip(self.shape, inputs.shape, strict=False)
        fits = inputs.ndim == len(self.shape) and all(size in (-1, given) for size, given in sizes)
        if inputs.dtype != self.dtype or not fits:
            yield f"inputs {inputs.dtype}{inputs.shape}, expected {self.dtype}{self.shape}"
            return
        known = inputs[~np.isnan(inputs)] if self.missing else inputs
        if not np.isfinite(known).all():
            yield f"{np.count_nonzero(~np.isfinite(known))} inputs are not finite"
        elif known.size and (known.min() < self.low or known.max() > self.high):
            given = f"inputs from {known.min():g} to {known.max():g}"
            yield f"{given}, expected {self.low:g} to {self.high:g}"


def split_by_hash(key: bytes, validation_fraction: float, test_fraction: float) -> Split:
    """Equal keys share a split, and new examples don't move the others."""
    position = int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big") / 2**32
    if position < test_fraction:
        return "test"
    return "validation" if position < test_fraction + validation_fraction else "train"


@dataclass
class Validator:
    """Checks one example after another and collects all problems.

    It remembers some hundred bytes of each example, never its inputs.
    """

    schema: Schema
    problems: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    sizes: Counter[str] = field(default_factory=Counter[str])
    class_counts: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    _seen: dict[Any, tuple[str, str, Any]] = field(default_factory=dict[Any, tuple[str, str, Any]])
    _warned: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])

    def check(self, example: Example | Unreadable) -> None:
        problems = list(self.schema.problems(example))
        if isinstance(example, Example):
            problems += self._conflicts(example)
        file = f" ({example.file})" if example.file and example.file not in example.id else ""
        self.problems += [f"{example.id}: {problem}{file}" for problem in problems]

    def _conflicts(self, example: Example) -> Iterator[str]:
        """With examples before: equal inputs in two splits would give the answer away."""
        self.sizes[example.split] += 1
        label = None
        if self.schema.classes and isinstance(example.target, int | np.integer):
            label = int(example.target)
            self.class_counts[example.split, label] += 1

        me = (example.id, example.split, label)
        if self._seen.setdefault(("id", example.id), me) is not me:
            yield "this id exists already"
        if example.group:
            other, split, _ = self._seen.setdefault(("group", example.group), me)
            if split != example.split:
                yield f"leak: in {example.split}, but {other} of the same group in {split}"
        content = hashlib.blake2b(np.ascontiguousarray(example.inputs).tobytes()).digest()
        other, split, other_label = self._seen.setdefault(content, me)
        if split != example.split:
            yield f"leak: in {example.split}, but {other} with equal inputs in {split}"
        elif other != example.id:
            text = "the same inputs as an earlier example"
            if label != other_label:
                text += ", but another label"
            self._warned.setdefault(text, []).append((example.id, label))
        if example.warning:
            self._warned.setdefault(example.warning, []).append((example.id, label))

    def finish(self) -> None:
        """The checks that need all examples."""
        total = self.sizes.total()
        for split in SPLITS:
            if not self.sizes[split]:
                advice = "add examples, or raise its fraction"
                self.problems.append(f"the {split} split has none of {total} examples: {advice}")
            elif (size := self.sizes[split]) < 10 < total:
                self.warnings.append(f"the {split} split has only {size} of {total} examples")
        if len(self.schema.classes) == 1:
            self.problems.append(f"there is only one class, {self.schema.classes[0]}")
        for label, name in enumerate(self.schema.classes if self.class_counts else ()):
            empty = [split for split in SPLITS if not self.class_counts[split, label]]
            if "train" in empty:
                self.problems.append(f"class {name} has no training examples")
            elif empty:
                self.warnings.append(f"class {name} has no {' and no '.join(empty)} examples")

        for warning, examples in self._warned.items():
            by_class = Counter(label for _, label in examples if label is not None)
            affected = [
                f"{count} of {size} in class {self.schema.classes[label]}"
                for label, count in by_class.items()
                if 2 * count > (size := sum(self.class_counts[split, label] for split in SPLITS))
            ]
            such_as = ", ".join([f"such as {examples[0][0]}", *affected])
            self.warnings.append(f"{warning}: {len(examples)} of {total} examples, {such_as}")

    def raise_problems(self, shown: int | None = None) -> None:
        """
        Raises:
            DataError: there are problems; the message lists the first few, or all of them.
        """
        if self.problems:
            lines = [f"Problems with the data: {len(self.problems)}", *self.problems[:shown]]
            if len(lines) <= len(self.problems):
                lines.append("… the command `validate` lists all of them")
            raise DataError("\n  ".join(lines))
