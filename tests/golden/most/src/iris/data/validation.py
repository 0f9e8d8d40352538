# The template's: updates improve this file and keep your edits.
"""The schema that every record has to fit, checked before anything expensive begins."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from ..errors import DataError
from ..protocols import SPLITS, Array, Record, Split, Unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a sound record looks like."""

    dtype: str  # of the inputs, such as "uint8"
    shape: tuple[int, ...]
    low: float  # the smallest value of an input
    high: float  # the largest one
    classes: tuple[str, ...]  # a label is an index into these

    def problems(self, record: Record) -> Iterator[str]:
        """Everything that is wrong with one record."""
        inputs = record.inputs
        if inputs.dtype != self.dtype:
            yield f"inputs of type {inputs.dtype}, expected {self.dtype}"
        elif inputs.shape != self.shape:
            yield f"inputs of shape {inputs.shape}, expected {self.shape}"
        elif not np.isfinite(inputs).all():
            yield f"{np.count_nonzero(~np.isfinite(inputs))} inputs that are not finite"
        elif inputs.min() < self.low or inputs.max() > self.high:
            found = f"{inputs.min():g} to {inputs.max():g}"
            yield f"inputs from {found}, expected {self.low:g} to {self.high:g}"
        if not 0 <= record.label < len(self.classes):
            yield f"label {record.label}, expected 0 to {len(self.classes) - 1}"


@dataclass(slots=True)
class Findings:
    """What a look at every record brought to light."""

    sizes: Counter[Split] = field(default_factory=Counter["Split"])
    labels: Counter[tuple[Split, int]] = field(default_factory=Counter[tuple["Split", int]])
    problems: list[str] = field(default_factory=list[str])

    def raise_problems(self, most: int | None = None) -> None:
        """Raise DataError if there are any, naming at most so many."""
        if not self.problems:
            return
        shown = self.problems[:most]
        rest = len(self.problems) - len(shown)
        plural = "problem" if len(self.problems) == 1 else "problems"
        lines = [f"{len(self.problems)} {plural} with the data:", *(f"  {line}" for line in shown)]
        if rest:
            lines.append(f"  and {rest} more; the command `validate` lists them all")
        raise DataError("\n".join(lines))


def content(inputs: Array) -> bytes:
    """A digest of a record's inputs, by which duplicates are known."""
    return hashlib.blake2b(np.ascontiguousarray(inputs).tobytes(), digest_size=16).digest()


def inspect(records: Iterable[tuple[Record, Split] | Unreadable], schema: Schema) -> Findings:
    """Look at every record, whatever is wrong with the ones before.

    Besides the schema: ids are unique, no split is empty, every class occurs in training, and
    identical inputs don't stand in two splits, where they would leak the answer.
    """
    findings = Findings()
    ids: set[str] = set()
    seen: dict[bytes, tuple[str, Split]] = {}
    for entry in records:
        if isinstance(entry, Unreadable):
            findings.problems.append(f"{entry.id}: {entry.problem}")
            continue
        record, split = entry
        findings.problems.extend(f"{record.id}: {line}" for line in schema.problems(record))
        if record.id in ids:
            findings.problems.append(f"{record.id}: an id that an earlier record has")
        ids.add(record.id)
        twin, twins_split = seen.setdefault(content(record.inputs), (record.id, split))
        if twins_split != split:
            findings.problems.append(
                f"{record.id}: in {split}, with the inputs of {twin} in {twins_split}: a leak"
            )
        findings.sizes[split] += 1
        findings.labels[split, record.label] += 1
    if not findings.sizes.total():
        findings.problems.append("no records at all")
        return findings
    for split in SPLITS:
        if not findings.sizes[split]:
            findings.problems.append(f"the {split} split is empty: change the fractions")
    for label, name in enumerate(schema.classes):
        if findings.sizes["train"] and not findings.labels["train", label]:
            findings.problems.append(f"no record of class {name} in the train split")
    return findings
