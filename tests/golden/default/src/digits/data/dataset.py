# The template's: updates improve this file and keep your edits.
"""Examples of one shape, read lazily from the cache, and the batches made of them."""

import csv
import json
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np
import torch
from numpy.lib import format as npy

from ..features import transforms
from ..settings import FeaturesConfig
from .loader import Batch, BatchKey, generator
from .validation import SPLITS, Array, Example, Schema, Split

COLUMNS = ["id", "split", "label", "group"]
RESERVED = {*COLUMNS, "loss", "predicted", "confidence", "correct", "weight"}
"""Columns of examples.csv and predictions.csv; metadata of such a name gets an underscore."""


class CacheWriter(ExitStack):
    """Writes one example after another, so that the data may be larger than the memory."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        super().__init__()  # it closes the files
        self._folder, self._schema = folder, schema
        self._targets: dict[Split, list[Any]] = {split: [] for split in SPLITS}
        self._metadata: list[str] | None = None  # names, those of the first example
        self._inputs = {
            split: self.enter_context((folder / f"{split}.inputs.npy").open("wb"))
            for split in SPLITS
        }
        for split in SPLITS:
            self._write_header(split)
        self._table = csv.writer(self.enter_context(open_csv(folder / "examples.csv")))

    def _write_header(self, split: Split) -> None:
        """Always of the same length: NumPy leaves room for the number of examples to grow."""
        shape = (len(self._targets[split]), *self._schema.shape)
        descr = np.dtype(self._schema.dtype).str
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        self._inputs[split].seek(0)
        npy.write_array_header_1_0(self._inputs[split], header)

    def add(self, example: Example) -> None:
        """Append an example that fits the schema."""
        if self._metadata is None:
            self._metadata = list(example.metadata)
            names = [f"{name}_" if name in RESERVED else name for name in self._metadata]
            self._table.writerow([*COLUMNS, *names])
        label: Any = ""
        if self._schema.target_shape == ():
            target, classes = np.asarray(example.target).item(), self._schema.classes
            label = classes[int(target)] if classes else float(target)
        cells = [format_cell(example.metadata.get(name, "")) for name in self._metadata]
        self._table.writerow([example.id, example.split, label, example.group, *cells])
        self._inputs[example.split].write(np.ascontiguousarray(example.inputs).tobytes())
        self._targets[example.split].append(example.target)

    def finish(self) -> None:
        for split in SPLITS:
            self._write_header(split)
            targets = np.array(self._targets[split], dtype=self._schema.target_dtype)
            np.save(self._folder / f"{split}.targets.npy", targets)
        schema = json.dumps(asdict(self._schema))
        (self._folder / "schema.json").write_text(schema, encoding="utf-8")
        self.close()


@contextmanager
def open_csv(path: Path) -> Generator[TextIO]:
    """For writing. A name that isn't valid Unicode is escaped; a full disk names the file."""
    try:
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield file
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def format_cell(value: Any) -> str:
    """A number with all its digits; empty for a missing value (NaN)."""
    return "" if value != value else str(value)


@dataclass(frozen=True)
class Dataset:
    """One split. Indexed with a `BatchKey`, it gives that batch.

    Gathering and transforming a whole batch costs a fraction of doing it example by example. Arrays
    are opened on first use, once in each worker.
    """

    folder: Path
    split: Split
    augmentation: FeaturesConfig | None = None
    seed: int = 0
    rows: Array | None = None  # (N,), to use only these examples
    target_order: Array | None = None  # (N,), gives each example the target of another one

    @cached_property
    def inputs(self) -> Array:
        """(N, ...), memory-mapped, before preprocessing."""
        return self._load("inputs")

    @cached_property
    def targets(self) -> Array:
        """(N, ...)"""
        targets = self._load("targets")
        return targets if self.target_order is None else targets[self.target_order]

    @cached_property
    def schema(self) -> Schema:
        return Schema.load(self.folder)

    @cached_property
    def digest(self) -> str:
        """Of the examples of all splits, without their metadata."""
        return json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))["digest"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one preprocessed example."""
        return tuple(self.preprocess(np.arange(1)).shape[1:])

    @property
    def size(self) -> int:
        """Number of examples, for outcome.json."""
        return len(self)

    def metadata(self) -> tuple[list[str], list[list[str]]]:
        """The names of the metadata columns; and of each example, its id and metadata."""
        csv.field_size_limit(2**31 - 1)  # of a cell; by default 128 KiB
        with (self.folder / "examples.csv").open(encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
        width = len(COLUMNS)
        examples = [[line[0], *line[width:]] for line in lines if line[1] == self.split]
        selected = examples if self.rows is None else [examples[row] for row in self.rows]
        return header[width:], selected

    @cached_property
    def ids(self) -> list[str]:
        return [id_ for id_, *_ in self.metadata()[1]]

    def __len__(self) -> int:
        return len(self.targets)

    def preprocess(self, rows: Array) -> torch.Tensor:
        """The preprocessed inputs of these examples, (B, ...)."""
        return transforms.preprocess(torch.from_numpy(self.inputs[rows]))

    def __getitem__(self, key: BatchKey) -> Batch:
        inputs = self.preprocess(key.rows)
        if self.augmentation is not None:
            rng = generator(self.seed, "augment", key.epoch, key.position)
            inputs = transforms.augment(inputs, rng, self.augmentation)
        return inputs, torch.from_numpy(self.targets[key.rows])

    def keys(self, batch_size: int) -> Iterator[BatchKey]:
        """All examples in order; the last batch may be smaller."""
        for first in range(0, len(self), batch_size):
            rows = np.arange(first, min(first + batch_size, len(self)))
            yield BatchKey(0, first // batch_size, rows)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        return map(self.__getitem__, self.keys(batch_size))

    def select(self, rows: Array) -> Self:
        """Only these examples; (M,), each below N."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])

    def _load(self, name: str) -> Array:
        array = np.load(self.folder / f"{self.split}.{name}.npy", mmap_mode="r")
        array = array.view(np.ndarray)  # indexing a memmap takes twice as long
        return array if self.rows is None else array[self.rows]

    def __getstate__(self) -> dict[str, Any]:
        """Workers open the arrays themselves instead of being sent copies."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
