# The template's: updates improve this file and keep your edits.
"""Where the network does worse: its main measure for parts of the split, by facts about records.

Among many parts some look bad by chance alone. So a part is named only if it is worse by an
interval that is widened for their number (Bonferroni), and the number is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..data.dataset import Dataset
from ..data.facts import OTHER, Fact
from ..errors import DataError, unknown
from ..page import table
from ..protocols import Array, Indices
from .intervals import Interval, of_mean

TEXTS = 10  # of a fact, each by itself; the rest together
CLASSES = 40
FEWEST = 10  # records of a part that may be named: of fewer, any interval is a guess
FACTS = 24  # in the report


@dataclass(frozen=True, slots=True)
class Scores:
    """How each record fares; together: the values' sum over the weights'."""

    name: str
    values: Array  # (N,)
    weights: Array  # (N,)
    more_is_better: bool

    def mean(self, rows: Indices | slice = slice(None)) -> float:
        """Of these records."""
        return float(self.values[rows].sum() / self.weights[rows].sum())


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of the split."""

    fact: str
    part: str  # such as "up to 12.5"
    records: int
    value: float
    interval: Interval
    is_worse: bool  # than the whole, by more than chance among so many parts

    def __str__(self) -> str:
        return f"{self.fact} {self.part} ({self.value:.4g}, {self.records} records)"

    def row(self) -> tuple[str, str, str, str]:
        """The same, in the cells of a table."""
        part = f"{self.part} — worse" if self.is_worse else self.part
        low, high = self.interval
        between = "" if math.isinf(low) else f"{low:.4g} to {high:.4g}"
        return part, f"{self.records}", f"{self.value:.4g}", between


@dataclass(frozen=True, slots=True)
class Slices:
    """All parts that were looked at."""

    measure: str
    whole: float
    parts: Sequence[Slice]

    @property
    def worse(self) -> list[Slice]:
        """The parts that are named, those of most records first."""
        named = (each for each in self.parts if each.is_worse)
        return sorted(named, key=lambda each: -each.records)

    def told(self) -> str:
        """What there is to say about them, in a line."""
        worse = "; ".join(map(str, self.worse)) or "none"
        looked = f"of {len(self.parts)} parts that were looked at"
        return f"{worse}, {looked} ({self.measure} of the whole: {self.whole:.4g})"

    def section(self) -> Iterator[str]:
        """HTML: what is worse, then every part; of too many facts, those with the worst."""
        yield "<h2>Parts of the split</h2>"
        if not self.parts:
            yield "<p>The source states no facts about the records by which to part them.</p>"
            return
        yield table([("worse than the rest", self.told())])
        named = {each.fact for each in self.worse}
        facts = sorted({each.fact: 0 for each in self.parts}, key=lambda name: name not in named)
        for fact in facts[:FACTS]:
            rows = (each.row() for each in self.parts if each.fact == fact)
            yield table(rows, (fact, "records", self.measure, "95 % confidence"))
        if len(facts) > FACTS:
            yield f"<p>And by {len(facts) - FACTS} facts more: <code>--slice-by</code>.</p>"


def facts_of(dataset: Dataset, names: Sequence[str] = ()) -> Mapping[str, Fact]:
    """What the split can be parted by: its class, and what the source states.

    Raises:
        DataError: there is none of a name that is asked for.
    """
    facts = dict(dataset.facts)
    if dataset.classes:
        facts = {"class": Fact(dataset.labels, dataset.classes)} | facts
    for name in names:
        if name not in facts:
            known = "" if facts else ", and the source states none"
            raise DataError(f"--slice-by {unknown(name, list(facts), 'fact')}{known}")
    return {name: facts[name] for name in names or facts}


def slices(scores: Scores, facts: Mapping[str, Fact]) -> Slices:
    """Look at each part, by each fact about the records that the scores are of."""
    found = [
        (name, part, rows)
        for name, fact in facts.items()
        for part, rows in parts(fact, CLASSES if name == "class" else TEXTS)
    ]
    chance = 0.05 / max(1, sum(len(rows) >= FEWEST for _, _, rows in found))
    whole, looked = scores.mean(), list[Slice]()
    for name, part, rows in found:
        values, weights = scores.values[rows], scores.weights[rows]
        low, high = of_mean(values, weights, chance)
        is_worse = high < whole if scores.more_is_better else low > whole
        named, interval = is_worse and len(rows) >= FEWEST, of_mean(values, weights)
        looked.append(Slice(name, part, len(rows), scores.mean(rows), interval, named))
    return Slices(scores.name, whole, looked)


def parts(fact: Fact, most: int = TEXTS) -> list[tuple[str, Indices]]:
    """The rows of each part: the most frequent texts, or quarters of the numbers.

    None where all records are alike: that would be the whole split again.
    """
    values, known = fact.values, np.flatnonzero(~np.isnan(fact.values))
    different, counts = np.unique(values[known], return_counts=True)
    found: list[tuple[str, Array]] = []
    if fact.texts:
        frequent = different[np.argsort(-counts, kind="stable")]
        frequent = frequent[frequent != OTHER][:most]
        found += [(fact.texts[int(each)], values == each) for each in frequent]
        found.append(("others", ~np.isin(values, frequent) & ~np.isnan(values)))
    elif len(different) <= TEXTS:
        found += [(f"{each:g}", values == each) for each in different]
    else:
        edges = np.unique(np.quantile(values[known], (0.25, 0.5, 0.75)))
        at = np.searchsorted(edges, values)
        ends = [f"{each:.4g}" if abs(each) < 10**4 else f"{each:,.0f}" for each in edges]
        between = [f"{low} to {high}" for low, high in pairwise(ends)]
        said = [f"up to {ends[0]}", *between, f"over {ends[-1]}"]
        found += [(part, (at == place) & ~np.isnan(values)) for place, part in enumerate(said)]
    found.append(("not known", np.isnan(values)))
    rows = [(part, np.flatnonzero(each)) for part, each in found if each.any()]
    return rows if len(rows) > 1 else []
