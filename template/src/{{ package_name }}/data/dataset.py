# The template's: updates improve this file and keep your edits.
"""Validated records on disk, read lazily, turned into batches on demand."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

import numpy as np
import torch
from numpy.lib.format import open_memmap

from ..config import Config, DataConfig, to_dict
from ..errors import DataError
from ..protocols import (
    SPLITS,
    Array,
    Augment,
    Batch,
    BatchKey,
    Indices,
    Prepare,
    Record,
    Split,
    Unreadable,
)
from . import source, validation
from .loader import KeyedRandom

logger = logging.getLogger(__name__)

CHANGED = "the source gave other records when it was read again; prepare it once it stays as it is"


def entries(config: DataConfig) -> Iterator[tuple[Record, Split] | Unreadable]:
    """Every record of the source with its split."""
    for entry in source.read(config):
        yield entry if isinstance(entry, Unreadable) else (entry, source.split_of(entry, config))


def validate(config: DataConfig) -> validation.Findings:
    """Look at every record of the source. The result lists the problems; it doesn't raise them."""
    return validation.inspect(entries(config), source.SCHEMA)


def fingerprint(config: DataConfig) -> str:
    """Changes with the source, with this folder's code that reads it, and with every setting of it.

    What `source.py` imports from elsewhere isn't looked at: keep its helpers beside it.
    """
    settings = to_dict(Config(data=config))["data"]
    for name in ("cache_dir", "workers"):  # these don't change a record
        del settings[name]
    parts = [source.fingerprint(config), json.dumps(settings, sort_keys=True)]
    code = sorted(Path(__file__).parent.glob("*.py"))
    parts += [path.read_text(encoding="utf-8") for path in code if path.name != "loader.py"]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def prepare(config: DataConfig) -> Path:
    """The folder with the validated records of each split, made on the first call.

    The folder appears whole or not at all, so that two processes may prepare at once.

    Raises:
        DataError: there are records that don't fit the schema.
    """
    folder = config.cache_dir / fingerprint(config)
    if folder.exists():
        logger.debug("records are taken from %s", folder)
        return folder
    logger.debug("records are validated and written to %s", folder)
    findings = validate(config)
    findings.raise_problems(most=20)
    unfinished = config.cache_dir / f".{folder.name}-{uuid4().hex}"
    unfinished.mkdir(parents=True)
    try:
        _write(unfinished, entries(config), findings.sizes)
        unfinished.rename(folder)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not (isinstance(error, OSError) and folder.exists()):  # another process was first
            raise
    return folder


def _write(
    folder: Path,
    records: Iterator[tuple[Record, Split] | Unreadable],
    sizes: dict[Split, int],
) -> None:
    """Write arrays one record at a time: the data may be larger than the memory."""
    written: dict[Split, list[str]] = {split: [] for split in SPLITS}
    inputs: dict[Split, Array] = {
        split: open_memmap(
            folder / f"{split}.inputs.npy",
            mode="w+",
            dtype=source.SCHEMA.dtype,
            shape=(sizes[split], *source.SCHEMA.shape),
        )
        for split in SPLITS
    }
    labels = {split: np.zeros(sizes[split], dtype=np.int64) for split in SPLITS}
    for entry in records:
        if isinstance(entry, Unreadable):
            raise DataError(f"{entry.id}: {entry.problem}, though it was readable a moment ago")
        record, split = entry
        row = len(written[split])
        if row == sizes[split]:
            raise DataError(CHANGED)
        inputs[split][row] = record.inputs
        labels[split][row] = record.label
        written[split].append(record.id)
    if any(len(written[split]) < sizes[split] for split in SPLITS):
        raise DataError(CHANGED)
    for split in SPLITS:
        cast("np.memmap", inputs[split]).flush()
        np.save(folder / f"{split}.labels.npy", labels[split])
        (folder / f"{split}.ids.json").write_text(json.dumps(written[split]), encoding="utf-8")


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
    relabelled: Array | None = None  # (N,), for a study that shuffles the labels
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
        if self.relabelled is not None:
            return self.relabelled
        array = self._load("labels")
        return array if self.rows is None else array[self.rows]

    @cached_property
    def ids(self) -> list[str]:
        """The records' ids, in the order of the rows."""
        names = json.loads((self.folder / f"{self.split}.ids.json").read_text(encoding="utf-8"))
        return names if self.rows is None else [names[row] for row in self.rows]

    @cached_property
    def random(self) -> KeyedRandom:
        """The source of augmentation's chance, one in each process."""
        return KeyedRandom(self.seed, "augment")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels."""
        return source.SCHEMA.classes

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: BatchKey) -> Batch:
        inputs = self.prepare(self.inputs[key.indices])
        if self.augment is not None:
            random = self.random.start(key.epoch, key.position)
            inputs = self.augment(inputs, random)
        return Batch(
            torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32)),
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
