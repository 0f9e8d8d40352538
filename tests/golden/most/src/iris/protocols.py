# The template's: updates improve this file and keep your edits.
"""The words that the modules share, and the parts that come in several kinds.

Shapes: B records in a batch, N records in a split, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

Array = NDArray[Any]
Indices = NDArray[np.int64]
Metrics = Mapping[str, float]
History = Sequence[tuple[int, Metrics]]  # what was logged after which step, in order
Tensors = Mapping[str, "Tensor"]
Split = Literal["train", "validation", "test"]
Metadata = Mapping[str, float | str]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled example, as the source gives it."""

    id: str
    inputs: Array
    label: float  # an index into the schema's classes, or the number that is to be predicted
    group: str = ""  # what has to stay in one split is of one group: a patient, a document
    file: str = ""  # where it is, for whoever has to fix it
    metadata: Metadata = field(default_factory=dict[str, float | str])
    """What else is known about it. Results are sliced by it, and nothing is learned from it."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands where a record should be: reading goes on, so that every problem is listed."""

    id: str
    problem: str
    file: str = ""


class Batch(NamedTuple):
    """What the network sees in one step."""

    inputs: Tensor  # (B, ...)
    labels: Tensor  # (B, ...): classes, numbers, or the tokens that follow

    def split(self, parts: int) -> list[Batch]:
        """The batch in so many equal parts, for the accumulation of gradients."""
        if parts == 1:
            return [self]  # most runs; views of tensors have their price
        inputs, labels = self.inputs.chunk(parts), self.labels.chunk(parts)
        return [Batch(*part) for part in zip(inputs, labels, strict=True)]


class BatchKey(NamedTuple):
    """Names a batch: all that is random about it follows from the seed and these."""

    epoch: int
    position: int  # of the batch in its epoch
    indices: Indices  # (B,), into the split


class Prepare(Protocol):
    """The part of the features that training and evaluation share."""

    def __call__(self, inputs: Array) -> Array:
        """Raw inputs of a batch, (B, ...), as the network takes them."""
        ...


class Augment(Protocol):
    """Random changes that leave the label as it is."""

    def __call__(self, inputs: Array, random: np.random.Generator) -> Array:
        """Prepared inputs of a batch, (B, ...), changed at random; the shape stays."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeps:
    """What a transform promises of each batch; the command `features` holds it to its word."""

    shape: bool = True
    dtype: bool = True
    low: float | None = None  # no value lies below,
    high: float | None = None  # and none above
    label: float | None = None
    """Least share of the records whose nearest neighbour among the untouched has their label."""


@runtime_checkable
class Learner(Protocol):
    """A network that learns something from the data before the first step: means, a vocabulary.

    It keeps what it learns in buffers, hence in every checkpoint; their shapes follow from the
    config alone.
    """

    def learn(self, batches: Iterable[tuple[Array, Array]]) -> None:
        """Look once at the training split, and at nothing else: prepared inputs and labels."""
        ...


class Tracker(Protocol):
    """A place where metrics go besides `metrics.jsonl`.

    What it raises is said once, and the run goes on without it: see training/tracking.py.
    """

    @property
    def id(self) -> str:
        """What the run is called there; a resumed run continues it."""
        ...

    def log(self, step: int, metrics: Metrics) -> None:
        """The metrics after so many steps.

        A resumed run sends its history first; what is there already is to be there once.
        """
        ...

    def artifact(self, path: Path) -> None:
        """Keep a copy of a file with the run."""
        ...

    def close(self, status: Literal["finished", "interrupted", "failed"]) -> None:
        """The run is over, for now or for good: whatever is still on its way has to arrive."""
        ...


class CheckpointStrategy(Protocol):
    """When the state is saved, besides at the best, at the last step and before the process ends.

    And which checkpoints then stay.
    """

    def due(self, step: int, seconds: float) -> bool:
        """Whether to save after this step, so many seconds after the last checkpoint."""
        ...

    def retained(self, steps: Sequence[int], best: int | None) -> set[int]:
        """The steps whose checkpoints stay, out of all that there are (oldest first).

        The best is among them if it is there, and the newest; two at least.
        """
        ...


class CheckpointWriter(Protocol):
    """Decides who puts a checkpoint on the disk; `commit` is what puts it there."""

    def write(
        self, tensors: Mapping[str, Tensors], commit: Callable[[Mapping[str, Tensors]], None]
    ) -> None:
        """Have these tensors, by file and name, committed as they are at this moment."""
        ...

    def check(self) -> None:
        """Raise what went wrong since the last call, without waiting."""
        ...

    def wait(self) -> None:
        """Wait for what is under way, and raise what went wrong with it."""
        ...
