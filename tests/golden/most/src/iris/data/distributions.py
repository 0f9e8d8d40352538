# The template's: updates improve this file and keep your edits.
"""How the facts about the records are distributed, and whether the splits differ in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ..protocols import Array, Facts, Split

Value = float | str
SAMPLE = 2000  # values that are remembered of each fact and split, drawn evenly
CHANCE = 0.001  # of a remark on data that don't drift, all comparisons together
VISIBLE = 0.1  # a smaller distance is none that a person need know of


@dataclass(slots=True)
class Distributions:
    """An even sample of each fact in each split: reservoir sampling, in one pass.

    Source: algorithm R (https://doi.org/10.1145/3147.3165).
    """

    seen: Counter[tuple[str, Split]] = field(default_factory=Counter[tuple[str, "Split"]])
    missing: Counter[tuple[str, Split]] = field(default_factory=Counter[tuple[str, "Split"]])
    samples: dict[tuple[str, Split], list[Value]] = field(
        default_factory=dict[tuple[str, "Split"], "list[Value]"]
    )
    chance: np.random.Generator = field(
        default_factory=lambda: np.random.Generator(np.random.Philox(0))
    )

    def add(self, split: Split, facts: Facts) -> None:
        """The facts about one record."""
        for name, value in facts.items():
            if isinstance(value, float) and math.isnan(value):
                self.missing[name, split] += 1
                continue
            self.seen[name, split] += 1
            sample = self.samples.setdefault((name, split), [])
            if len(sample) < SAMPLE:
                sample.append(value)
            elif (at := int(self.chance.integers(self.seen[name, split]))) < SAMPLE:
                sample[at] = value

    @property
    def names(self) -> list[str]:
        """The facts, in the order in which they were first seen."""
        return list(dict.fromkeys(name for name, _ in (*self.seen, *self.missing)))

    def numbers(self, name: str, split: Split) -> Array | None:
        """The sample of a fact that is a number, (n,); None where it is a text."""
        sample = self.samples.get((name, split), [])
        if any(isinstance(value, str) for value in sample):
            return None
        return np.array(sample, dtype=np.float64)

    def texts(self, name: str, split: Split) -> Counter[str]:
        """How often each text occurs in the sample."""
        return Counter(map(str, self.samples.get((name, split), [])))

    def mostly_missing(self) -> Iterator[str]:
        """Facts that more than half of the records of a split don't have."""
        for (name, split), missing in self.missing.items():
            records = missing + self.seen[name, split]
            if missing > records / 2:
                yield f"{name} is missing in {missing} of {records} records of the {split} split"

    def drift(self) -> Iterator[str]:
        """Facts that are distributed otherwise in a held-out split than in training."""
        held_out: list[Split] = ["validation", "test"]
        pairs: list[tuple[str, Split]] = [(name, each) for name in self.names for each in held_out]
        allowed = CHANCE / max(1, len(pairs))  # Bonferroni
        for name, split in pairs:
            if not self.samples.get((name, "train")) or not self.samples.get((name, split)):
                continue
            ours, theirs = self.numbers(name, "train"), self.numbers(name, split)
            if ours is not None and theirs is not None:
                distance, differs = kolmogorov_smirnov(ours, theirs, allowed)
                middles = f"median {np.median(theirs):.4g}, in train {np.median(ours):.4g}"
            else:
                counts = self.texts(name, "train"), self.texts(name, split)
                distance, differs = total_variation(*counts, allowed)
                most = [each.most_common(1)[0][0] for each in counts]
                middles = f"most often {most[1]}, in train {most[0]}"
            if differs and distance > VISIBLE:
                yield f"{name} differs in {split} ({middles}; distance {distance:.2f} of 1)"


def kolmogorov_smirnov(ours: Array, theirs: Array, chance: float) -> tuple[float, bool]:
    """The largest distance of two cumulative distributions, and whether chance explains it.

    Source: Smirnov (1948, https://doi.org/10.1214/aoms/1177730256), the asymptotic critical value.
    """
    values = np.concatenate([ours, theirs])
    shares = [
        np.searchsorted(np.sort(each), values, side="right") / len(each) for each in (ours, theirs)
    ]
    distance = float(np.abs(shares[0] - shares[1]).max())
    n, m = len(ours), len(theirs)
    return distance, distance > math.sqrt(-math.log(chance / 2) / 2 * (n + m) / (n * m))


def total_variation(ours: Counter[str], theirs: Counter[str], chance: float) -> tuple[float, bool]:
    """Half the sum of the differences of the shares, and whether chance explains it.

    By dealing all values out to the two samples anew, a thousand times: a permutation test, whose
    smallest chance is 0.001; the largest of the dealt distances is then taken as the limit.
    """
    names = sorted({*ours, *theirs})
    a, b = (np.array([each[name] for name in names]) for each in (ours, theirs))

    def distance(left: Array, right: Array) -> Array:
        shares = left / left.sum(axis=-1, keepdims=True) - right / right.sum(axis=-1, keepdims=True)
        return np.abs(shares).sum(axis=-1) / 2

    random_ = np.random.Generator(np.random.Philox(0))
    dealt = random_.multivariate_hypergeometric(a + b, int(b.sum()), size=1000, method="marginals")
    found = float(distance(a, b))
    limit = float(np.quantile(distance((a + b) - dealt, dealt), 1 - chance))
    return found, found > limit
