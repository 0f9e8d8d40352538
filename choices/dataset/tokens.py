# The template's: updates improve this file and keep your edits.
"""Texts as one long row of tokens on disk, of which windows are shown.

The row begins with a separator, and one follows each document. Shapes: N windows in a split, T
tokens in a window, D documents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from ..errors import DataError
from ..protocols import SPLITS, Array, Augment, Batch, BatchKey, Indices, Prepare, Record, Split
from .examples import ExamplesWriter, read_metadata
from .loader import KeyedRandom
from .source import TOKENIZER
from .validation import Schema

LOOKED_AT = 1 << 16  # tokens of the validation split, evenly spread: enough for two digits


class Writer:
    """Packs one block of text after another: the corpus may be larger than the memory."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        self._folder, self._window = folder, schema.window
        self._dtype = np.min_scalar_type(TOKENIZER.size - 1)
        self._document = dict.fromkeys(SPLITS, "")  # the file that was written last
        self._names: dict[Split, list[str]] = {split: [] for split in SPLITS}
        self._ends: dict[Split, list[int]] = {split: [] for split in SPLITS}
        self._bytes: dict[Split, list[int]] = {split: [] for split in SPLITS}
        self._examples = ExamplesWriter(folder)
        self._open = ExitStack()
        self._open.callback(self._examples.close)
        self._files = {
            split: self._open.enter_context((folder / f"{split}.tokens").open("wb"))
            for split in SPLITS
        }

    def add(self, record: Record, split: Split) -> None:
        """Append a block; those of one document follow each other."""
        if self._document[split] != record.file:
            self._document[split] = record.file
            self._separate(split)
            self._names[split].append(record.id)
            # The metadata of a document is that of its first block.
            self._examples.add(record.id, split, "", record.group, record.metadata)
            self._bytes[split].append(0)
        self._files[split].write(TOKENIZER.encode(record.inputs).astype(self._dtype).tobytes())
        self._bytes[split][-1] += record.inputs.size

    def _separate(self, split: Split) -> None:
        """Begin the row, or end the document that was written last."""
        self._files[split].write(np.array(TOKENIZER.separator, dtype=self._dtype).tobytes())
        self._ends[split].append(self._count(split))

    def _count(self, split: Split) -> int:
        """Tokens so far."""
        return self._files[split].tell() // self._dtype.itemsize

    def close(self) -> None:
        """Complete the files.

        Raises:
            DataError: a split isn't long enough to show a window of it.
        """
        for split in SPLITS:
            self._separate(split)
            if (count := self._count(split)) <= self._window:
                raise DataError(
                    f"the {split} split has {count} tokens ({', '.join(self._names[split][:3])}"
                    f"{', …' if len(self._names[split]) > 3 else ''}), less than one context: "
                    f"add text, lower data.context = {self._window}, or change the fractions"
                )
            np.save(self._folder / f"{split}.ends.npy", np.array(self._ends[split]))
            np.save(self._folder / f"{split}.bytes.npy", np.array(self._bytes[split]))
            _write_json(self._folder / f"{split}.documents.json", self._names[split])
        layout = Layout(str(self._dtype), self._window, TOKENIZER.size)
        _write_json(self._folder / "layout.json", vars(layout))
        self._examples.write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


@dataclass(frozen=True)
class Layout:
    """How the files are to be read."""

    dtype: str  # of a token
    window: int  # T
    vocabulary: int


@dataclass(frozen=True)
class Documents:
    """Whose text the tokens of a split are."""

    names: Sequence[str]  # (D,)
    ends: Indices  # (D + 1,), places after the separators: where a document ends and one begins
    bytes: Indices  # (D,), of the text that the tokens stand for

    @property
    def tokens(self) -> Indices:
        """In each, the separator at its end included, (D,)."""
        return np.diff(self.ends)

    def of(self, places: Indices) -> Indices:
        """The document of each place in the row; a separator belongs to the text before it."""
        return np.maximum(self.ends.searchsorted(places, side="right") - 1, 0)


@dataclass(frozen=True)
class Names:
    """What each window is called, made when it is asked for: there may be millions."""

    documents: Documents
    places: Sequence[int] | Indices  # (N,)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int | np.integer) -> str:
        place = int(self.places[int(row)])
        document = int(self.documents.of(np.array(place)))
        token = max(0, place - int(self.documents.ends[document]))
        return f"{self.documents.names[document]}, from token {token}"

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))


@dataclass(frozen=True)
class Dataset:
    """One split. Indexed with a `BatchKey`, it gives the batch that the key names.

    A record is a window of T tokens, its labels those that follow each of them. All windows of a
    batch are gathered at once. Files are opened on first use, hence once in each worker.
    """

    folder: Path
    split: Split
    prepare: Prepare
    augment: Augment | None = None
    seed: int = 0
    shuffled: Indices | None = None  # (N,), whose labels each window is given, for a study
    rows: Indices | None = None  # only these windows, for a study that overfits them

    @cached_property
    def windows(self) -> Array:
        """All windows and the token after each, (N, T + 1), mapped rather than read."""
        path, layout = self.folder / f"{self.split}.tokens", self.layout
        try:
            tokens = np.memmap(path, dtype=layout.dtype, mode="r").view(np.ndarray)
            windows = sliding_window_view(tokens, layout.window + 1)[:: self.stride]
        except (OSError, ValueError) as error:
            raise self._damaged(error) from None
        return windows if self.rows is None else windows[self.rows]

    @cached_property
    def stride(self) -> int:
        """Tokens from window to window: those of one, or more where only some are looked at."""
        window, tokens = self.layout.window, int(self.documents.ends[-1])
        return window * (-(-tokens // LOOKED_AT) if self.split == "validation" else 1)

    @cached_property
    def places(self) -> Sequence[int] | Indices:
        """Where each window begins in the row of tokens, (N,)."""
        if self.rows is not None:
            return self.rows * self.stride
        return range(0, len(self) * self.stride, self.stride)

    @property
    def inputs(self) -> Array:
        """All windows, (N, T)."""
        return self.windows[:, :-1]

    @property
    def labels(self) -> Array:
        """The tokens that follow, (N, T)."""
        labels = self.windows[:, 1:]
        return labels if self.shuffled is None else labels[self.shuffled]

    @cached_property
    def documents(self) -> Documents:
        """The documents of the split."""
        try:
            ends, sizes = (
                np.load(self.folder / f"{self.split}.{name}.npy") for name in ("ends", "bytes")
            )
        except (OSError, ValueError) as error:
            raise self._damaged(error) from None
        return Documents(self._read_json(f"{self.split}.documents"), ends, sizes)

    def metadata(self) -> Iterator[list[str]]:
        """The names of the metadata columns, then the cells of each document."""
        return read_metadata(self.folder, self.split)

    @property
    def size(self) -> int:
        """Number of tokens."""
        return len(self) * self.layout.window

    @property
    def ids(self) -> Names:
        """The windows' names, in the order of the rows."""
        return Names(self.documents, self.places)

    @cached_property
    def layout(self) -> Layout:
        """How the files are to be read."""
        return Layout(**self._read_json("layout"))

    @cached_property
    def random(self) -> KeyedRandom:
        """The source of augmentation's chance, one in each process."""
        return KeyedRandom(self.seed, "augment")

    @property
    def classes(self) -> tuple[str, ...]:
        """None: a token isn't a class that a person would name."""
        return ()

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for a token: the size of the vocabulary."""
        return self.layout.vocabulary

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one prepared window."""
        return self.prepare(self.inputs[:1]).shape[1:]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: BatchKey) -> Batch:
        windows = self.windows[key.indices]
        inputs, labels = self.prepare(windows[:, :-1]), windows[:, 1:]
        if self.shuffled is not None:
            labels = self.windows[self.shuffled[key.indices], 1:]
        if self.augment is not None:
            inputs = self.augment(inputs, self.random.start(key.epoch, key.position))
        return Batch(torch.from_numpy(inputs), torch.from_numpy(labels))

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Every window once, in the order of the rows."""
        for first in range(0, len(self), batch_size):
            rows = np.arange(first, min(first + batch_size, len(self)))
            yield self[BatchKey(0, first // batch_size, rows)]

    def _read_json(self, name: str) -> Any:
        try:
            return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self.folder} is damaged ({error}): delete it, and it is prepared again")

    def __getstate__(self) -> dict[str, Any]:
        """Workers open the files themselves instead of being sent them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def plain(self) -> Dataset:
        """The same windows without augmentation."""
        return replace(self, augment=None)

    def only(self, rows: Indices) -> Dataset:
        """These rows of it, for a study; (M,), each below N."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])
