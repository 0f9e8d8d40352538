# The template's: updates improve this file and keep your edits.
"""Step 3: whether each transform keeps its word, on a sample of the training split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..config import Config
from ..data.dataset import Dataset
from ..data.loader import KeyedRandom, derive_seed
from ..protocols import Array, Indices, Keeps
from . import transforms

SAMPLE = 512  # records


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing that a transform promised, and whether it holds."""

    transform: str
    says: str
    broken: str = ""  # how, and by which record

    def __str__(self) -> str:
        broken = f": BROKEN, {self.broken}" if self.broken else ""
        return f"{self.transform} {self.says}{broken}"


@dataclass(frozen=True, slots=True)
class Checked:
    """The sample on its way through the transforms, and the promises."""

    promises: list[Promise]
    raw: Array  # (B, ...), as the source gives them
    prepared: Array  # (B, ...)
    augmented: Array  # (B, ...)

    @property
    def passed(self) -> bool:
        """Whether all of them hold."""
        return not any(promise.broken for promise in self.promises)


def check(config: Config, training: Dataset) -> Checked:
    """Take a sample through `prepare` and `augment`, and look whether `KEEPS` is kept.

    Besides what `KEEPS` states: the same input and the same chance give the same output, and what
    is done to one record doesn't depend on the others of its batch, where `prepare` is concerned.
    """
    random = np.random.Generator(np.random.Philox(derive_seed(config.seed, "features")))
    size = min(SAMPLE, len(training))
    rows = np.sort(random.choice(len(training), size, replace=False))
    names = [training.ids[row] for row in rows]
    keeps: dict[str, Keeps] = {  # transforms from before 0.4 promise nothing
        "prepare": Keeps(shape=False, dtype=False),
        "augment": Keeps(),
        **vars(transforms).get("KEEPS", {}),
    }
    raw = np.asarray(training.inputs[rows])
    chance = KeyedRandom(config.seed, "features")

    def augmented_by(epoch: int) -> Array:
        return transforms.augment(prepared.copy(), chance.start(epoch, 0), config.features)

    untouched = raw.copy()
    prepared = transforms.prepare(raw)
    promises = [
        *_kept("prepare", keeps["prepare"], raw, prepared, names),
        _same("prepare", "leaves its input as it was", untouched, raw, names),
        _same("prepare", "repeats exactly", prepared, transforms.prepare(raw), names),
        _same("prepare", "treats each record alone", prepared, _one_by_one(raw), names),
    ]
    augmented = augmented_by(0)
    promises += [
        *_kept("augment", keeps["augment"], prepared, augmented, names),
        _same("augment", "repeats with the same chance", augmented, augmented_by(0), names),
    ]
    share = keeps["augment"].label
    if share is not None and training.classes:
        labels = training.labels[rows]
        promises.append(_label_kept(share, prepared, augmented, labels, names))
    return Checked(promises, raw, prepared, augmented)


def _one_by_one(raw: Array) -> Array:
    return np.concatenate([transforms.prepare(raw[row : row + 1]) for row in range(len(raw))])


def _kept(
    transform: str, keeps: Keeps, before: Array, after: Array, names: list[str]
) -> Iterator[Promise]:
    if keeps.shape:
        broken = "" if before.shape == after.shape else f"{before.shape} became {after.shape}"
        yield Promise(transform, "keeps the shape", broken)
    elif len(before) != len(after):
        yield Promise(transform, "keeps the records", f"{len(before)} became {len(after)}")
        return
    if keeps.dtype:
        broken = "" if before.dtype == after.dtype else f"{before.dtype} became {after.dtype}"
        yield Promise(transform, "keeps the type", broken)
    bounds: list[tuple[str, float | None, Callable[[Array, float], Array]]] = [
        ("at least", keeps.low, np.less),
        ("at most", keeps.high, np.greater),
    ]
    for word, bound, beyond in bounds:
        if bound is not None:
            wrong = beyond(after, bound).reshape(len(after), -1)
            says = f"gives {word} {bound:g}"
            yield Promise(transform, says, _shown(wrong, after, names))
    if np.isfinite(before).all():
        wrong = ~np.isfinite(after).reshape(len(after), -1)
        yield Promise(transform, "gives finite values", _shown(wrong, after, names))


def _same(transform: str, says: str, ours: Array, again: Array, names: list[str]) -> Promise:
    if ours.shape != again.shape:
        return Promise(transform, says, f"{ours.shape} became {again.shape}")
    as_bytes = (
        np.ascontiguousarray(each).view(np.uint8).reshape(len(names), -1) for each in (ours, again)
    )
    wrong = np.not_equal(*as_bytes)  # NaN equals itself this way
    return Promise(transform, says, "" if not wrong.any() else f"by {_first(wrong, names)}")


def _shown(wrong: Array, values: Array, names: list[str]) -> str:
    """What the first record says that breaks a promise; empty if there is none."""
    if not wrong.any():
        return ""
    value = values.reshape(len(values), -1)[wrong][0]
    return f"{value:g} in {_first(wrong, names)}"


def _first(wrong: Array, names: list[str]) -> str:
    rows: Indices = np.flatnonzero(wrong.any(axis=1))
    more = f" and {len(rows) - 1} more of {len(names)}" if len(rows) > 1 else ""
    return f"{names[rows[0]]}{more}"


def _label_kept(
    share: float, before: Array, after: Array, labels: Array, names: list[str]
) -> Promise:
    """Whether a record still looks most like those of its own label: its nearest neighbour's.

    Neighbours are the untouched records, itself left out. It sees an augmentation that turns one
    class into another, and none that merely makes all of them harder to tell.
    """
    flat, moved = (
        np.nan_to_num(each.reshape(len(each), -1).astype(np.float32)) for each in (before, after)
    )
    distances = (flat**2).sum(axis=1) - 2 * moved @ flat.T  # squared, but for a constant a row
    np.fill_diagonal(distances, np.inf)
    agrees = labels[distances.argmin(axis=1)] == labels
    says = f"keeps the label of {share:.0%} (nearest neighbours)"
    if agrees.mean() >= share:
        return Promise("augment", f"{says}: {agrees.mean():.1%}")
    return Promise("augment", says, f"{agrees.mean():.1%}, by {_first(~agrees[:, None], names)}")
