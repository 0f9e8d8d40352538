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

PROBLEMS = ("leak", "unreadable", "label", "inputs", "id", "classes", "split")
"""What is wrong, worst first: no training before it is mended."""

REMARKS = ("contradiction", "balance", "duplicate")
"""What may well be right, and a person should have seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a sound record looks like."""

    dtype: str  # of the inputs, such as "uint8"
    shape: tuple[int, ...]  # -1 where any length will do
    low: float  # the smallest value of an input
    high: float  # the largest one
    classes: tuple[str, ...]  # a label is an index into these; none: it is a number
    missing: bool = False  # whether NaN may stand where there is no value
    window: int = 0  # how many inputs are shown at once, where records are of any length

    def problems(self, record: Record) -> Iterator[tuple[str, str]]:
        """Everything that is wrong with one record, each with its kind."""
        inputs = record.inputs
        if inputs.dtype != self.dtype:
            yield "inputs", f"inputs of type {inputs.dtype}, expected {self.dtype}"
        elif not self._fits(inputs.shape):
            yield "inputs", f"inputs of shape {inputs.shape}, expected {self.shape}"
        elif broken := np.count_nonzero(np.isinf(inputs) if self.missing else ~np.isfinite(inputs)):
            yield "inputs", f"{broken} inputs that are not finite"
        elif inputs.size and not np.isnan(inputs).all():
            low, high = np.nanmin(inputs), np.nanmax(inputs)
            if low < self.low or high > self.high:
                expected = f"{self.low:g} to {self.high:g}"
                yield "inputs", f"inputs from {low:g} to {high:g}, expected {expected}"
        if not self.classes:
            if not np.isfinite(record.label):
                yield "label", f"label {record.label}, expected a number"
        elif not (0 <= record.label < len(self.classes) and record.label == int(record.label)):
            yield "label", f"label {record.label}, expected 0 to {len(self.classes) - 1}"

    def _fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == len(self.shape) and all(
            expected in {-1, given} for given, expected in zip(shape, self.shape, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth a look, and where."""

    kind: str
    text: str
    record: str = ""
    file: str = ""

    def __str__(self) -> str:
        where = f"{self.record}: " if self.record else ""
        stands = f" ({self.file})" if self.file and self.file not in self.record else ""
        return f"{where}{self.text}{stands}"


@dataclass(slots=True)
class Findings:
    """What a look at every record brought to light."""

    sizes: Counter[Split] = field(default_factory=Counter["Split"])
    labels: Counter[tuple[Split, int]] = field(default_factory=Counter[tuple["Split", int]])
    problems: list[Problem] = field(default_factory=list[Problem])  # worst first
    remarks: list[Problem] = field(default_factory=list[Problem])

    def raise_problems(self, most: int | None = None) -> None:
        """Raise DataError if there are any, naming at most so many, the worst first."""
        if not self.problems:
            return
        shown = self.problems[:most]
        rest = len(self.problems) - len(shown)
        plural = "problem" if len(self.problems) == 1 else "problems"
        kinds = Counter(each.kind for each in self.problems)
        counts = ", ".join(f"{count} of {kind}" for kind, count in kinds.items())
        heading = f"{len(self.problems)} {plural} with the data" + (
            f" ({counts}):" if len(kinds) > 1 else ":"
        )
        lines = [heading, *(f"  {line}" for line in shown)]
        if rest:
            lines.append(f"  and {rest} more; the command `validate` lists them all")
        raise DataError("\n".join(lines))


def content(inputs: Array) -> bytes:
    """A digest of a record's inputs, by which duplicates are known."""
    return hashlib.blake2b(np.ascontiguousarray(inputs).tobytes(), digest_size=16).digest()


class Inspection:
    """Looks at record after record, whatever is wrong with the ones before.

    Besides the schema: ids are unique, no split is empty, every class occurs in training, and
    neither identical inputs nor a group stand in two splits, where they would leak the answer.

    It remembers some hundred bytes of each record, and never its inputs.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._findings = Findings()
        self._ids: set[str] = set()
        self._seen: dict[bytes, tuple[str, Split, float]] = {}
        self._groups: dict[str, tuple[str, Split]] = {}
        self._repeated = 0

    @property
    def sound(self) -> bool:
        """Whether nothing was wrong so far."""
        return not self._findings.problems

    def look(self, entry: tuple[Record, Split] | Unreadable) -> None:
        """At one record, or at what stands where one should be."""
        found = self._findings
        if isinstance(entry, Unreadable):
            found.problems.append(Problem("unreadable", entry.problem, entry.id, entry.file))
            return
        record, split = entry
        wrong = list(self._schema.problems(record))
        if record.id in self._ids:
            wrong.append(("id", "an id that an earlier record has"))
        self._ids.add(record.id)
        if record.group:
            other, others_split = self._groups.setdefault(record.group, (record.id, split))
            if others_split != split:
                text = f"in {split}, with {other} of its group {record.group} in {others_split}"
                wrong.append(("leak", f"{text}: a leak"))
        twin, twins_split, twins_label = self._seen.setdefault(
            content(record.inputs), (record.id, split, record.label)
        )
        if twins_split != split:
            text = f"in {split}, with the inputs of {twin} in {twins_split}"
            wrong.append(("leak", f"{text}: a leak"))
        found.problems += [Problem(kind, text, record.id, record.file) for kind, text in wrong]
        if twin != record.id:
            self._repeated += twins_split == split
            if self._schema.classes and twins_label != record.label:
                self._remark("contradiction", f"other label than {twin}, with its inputs", record)
        found.sizes[split] += 1
        if self._schema.classes:
            found.labels[split, int(record.label)] += 1

    def _remark(self, kind: str, text: str, record: Record | None = None) -> None:
        where = (record.id, record.file) if record else ()
        self._findings.remarks.append(Problem(kind, text, *where))

    def findings(self) -> Findings:
        """All of them, when every record was looked at."""
        found, classes = self._findings, self._schema.classes
        if not found.sizes.total():
            found.problems.append(Problem("split", "no records at all"))
        for split in SPLITS if found.sizes else ():
            if not found.sizes[split]:
                text = f"the {split} split is empty: change the fractions"
                found.problems.append(Problem("split", text))
        if len(classes) == 1:
            text = f"one class only, {classes[0]}: there is nothing to tell apart"
            found.problems.append(Problem("classes", text))
        for label, name in enumerate(classes):
            if found.sizes["train"] and not found.labels["train", label]:
                text = f"no record of class {name} in the train split"
                found.problems.append(Problem("classes", text))
        counts = [found.labels["train", label] for label in range(len(classes))]
        if counts and max(counts) > 10 * min(counts) > 0:
            few, many = classes[counts.index(min(counts))], classes[counts.index(max(counts))]
            text = f"{max(counts)} records of {many}, {min(counts)} of {few} in the train split"
            self._remark("balance", text)
        if self._repeated:
            records = "1 record has" if self._repeated == 1 else f"{self._repeated} records have"
            text = f"{records} the inputs of an earlier one in the same split"
            self._remark("duplicate", text)
        found.problems.sort(key=lambda each: PROBLEMS.index(each.kind))
        found.remarks.sort(key=lambda each: REMARKS.index(each.kind))
        return found


def inspect(records: Iterable[tuple[Record, Split] | Unreadable], schema: Schema) -> Findings:
    """Look at every record."""
    inspection = Inspection(schema)
    for entry in records:
        inspection.look(entry)
    return inspection.findings()
