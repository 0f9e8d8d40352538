# The template's: updates improve this file and keep your edits.
"""Records of one shape on disk, read lazily, turned into batches on demand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.lib import format as npy

from ..errors import DataError
from ..protocols import SPLITS, Array, Augment, Batch, BatchKey, Indices, Prepare, Record, Split
from .examples import ExamplesWriter, read_metadata
from .loader import KeyedRandom
from .validation import Schema


class Writer:
    """Writes one record after another: the data may be larger than the memory."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        self._folder, self._schema = folder, schema
        self._labels: dict[Split, list[float]] = {split: [] for split in SPLITS}
        self._ids: dict[Split, list[str]] = {split: [] for split in SPLITS}
        self._examples = ExamplesWriter(folder)
        self._open = ExitStack()
        self._open.callback(self._examples.close)
        self._files = {
            split: self._open.enter_context((folder / f"{split}.inputs.npy").open("wb"))
            for split in SPLITS
        }
        for split in SPLITS:
            self._write_header(split)

    def _write_header(self, split: Split) -> None:
        """Always of the same length: NumPy leaves room for the number of records to grow."""
        shape = (len(self._ids[split]), *self._schema.shape)
        described = np.dtype(self._schema.dtype).str
        header = {"descr": described, "fortran_order": False, "shape": shape}
        self._files[split].seek(0)
        npy.write_array_header_1_0(self._files[split], header)

    def add(self, record: Record, split: Split) -> None:
        """Append a record that fits the schema."""
        self._files[split].write(np.ascontiguousarray(record.inputs).tobytes())
        self._labels[split].append(record.label)
        self._ids[split].append(record.id)
        classes = self._schema.classes
        label = classes[int(record.label)] if classes else record.label
        self._examples.add(record.id, split, label, record.group, record.metadata)

    def close(self) -> None:
        """Complete the files."""
        for split in SPLITS:
            self._write_header(split)
            labels = np.array(self._labels[split], np.int64 if self._schema.classes else np.float32)
            np.save(self._folder / f"{split}.labels.npy", labels)
            _write_json(self._folder / f"{split}.ids.json", self._ids[split])
        _write_json(self._folder / "classes.json", self._schema.classes)
        self._examples.write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


@dataclass(frozen=True)
class Dataset:
    """One split. Indexed with a `BatchKey`, it gives the batch that the key names.

    Whole batches are gathered and transformed at once, which costs a fraction of doing it record
    by record. Arrays are opened on first use, hence once in each worker.
    """

    folder: Path
    split: Split
    prepare: Prepare
    augment: Augment | None = None
    seed: int = 0
    shuffled: Indices | None = None  # (N,), whose label each record is given, for a study
    rows: Indices | None = None  # only these records, for a study that overfits them

    @cached_property
    def inputs(self) -> Array:
        """All inputs, (N, ...), mapped rather than read."""
        array = self._load("inputs", mmap_mode="r")
        array = array.view(np.ndarray)  # indexing a memmap takes twice as long
        return array if self.rows is None else array[self.rows]

    @cached_property
    def labels(self) -> Array:
        """All labels, (N,)."""
        array = self._load("labels")
        array = array if self.rows is None else array[self.rows]
        return array if self.shuffled is None else array[self.shuffled]

    @cached_property
    def ids(self) -> list[str]:
        """The records' ids, in the order of the rows."""
        names = json.loads((self.folder / f"{self.split}.ids.json").read_text(encoding="utf-8"))
        return names if self.rows is None else [names[row] for row in self.rows]

    def metadata(self) -> Iterator[list[str]]:
        """The names of the metadata columns, then the cells of each example."""
        lines = read_metadata(self.folder, self.split)
        yield next(lines)
        if self.rows is None:
            yield from lines
        else:
            cells = list(lines)
            yield from (cells[row] for row in self.rows)

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self)

    @cached_property
    def random(self) -> KeyedRandom:
        """The source of augmentation's chance, one in each process."""
        return KeyedRandom(self.seed, "augment")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels; none where the label is a number."""
        return tuple(json.loads((self.folder / "classes.json").read_text(encoding="utf-8")))

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for a record: one a class, or the label itself."""
        return len(self.classes) or 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one prepared record."""
        return self.prepare(self.inputs[:1]).shape[1:]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: BatchKey) -> Batch:
        inputs = self.prepare(self.inputs[key.indices])
        if self.augment is not None:
            random = self.random.start(key.epoch, key.position)
            inputs = self.augment(inputs, random)
        return Batch(
            torch.from_numpy(np.ascontiguousarray(inputs)),
            torch.from_numpy(self.labels[key.indices]),
        )

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Every record once, in the order of the rows."""
        for first in range(0, len(self), batch_size):
            rows = np.arange(first, min(first + batch_size, len(self)))
            yield self[BatchKey(0, first // batch_size, rows)]

    def _load(self, name: str, mmap_mode: Literal["r"] | None = None) -> Array:
        try:
            return np.load(self.folder / f"{self.split}.{name}.npy", mmap_mode=mmap_mode)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.folder} is damaged ({error}): delete it, and it is prepared again"
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        """Workers open the arrays themselves instead of being sent them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def plain(self) -> Dataset:
        """The same records without augmentation."""
        return replace(self, augment=None)

    def only(self, rows: Indices) -> Dataset:
        """These rows of it, for a study; (M,), each below N."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])
