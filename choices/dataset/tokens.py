# The template's: updates improve this file and keep your edits.
"""Documents as one long sequence of tokens on disk, and the batches of windows made of them.

The sequence begins with a separator, and one follows each document. An example is a window of T
tokens; its targets are the tokens that follow each of them. Shards count as one sequence, in which
the last separator of one is the first of the next. No window crosses from one into another.

Shapes: B windows in a batch, N in a split, D documents in a split.
"""

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

from ..errors import DataError
from ..features import transforms
from ..settings import FeaturesConfig
from ..training.files import flush
from .loader import Batch, BatchKey, generator
from .shards import load, read_manifest
from .tokenizer import Tokenizer, load_tokenizer, train_tokenizer
from .validation import SPLITS, Array, Example, Schema, Split

COLUMNS = ["id", "split", "label", "group"]
RESERVED = {*COLUMNS, "loss", "predicted", "confidence", "correct", "weight"}
"""Columns of examples.csv and predictions.csv; metadata of such a name gets an underscore."""

VALIDATION_TOKENS = 1 << 16
"""Of a longer validation split, evenly spaced windows with so many tokens are used: enough for two
digits of the loss."""


class CacheWriter:
    """Writes one document after another, so that the data may be larger than the memory."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        self._folder, self._schema = folder, schema
        self._bytes: dict[Split, list[int]] = {split: [] for split in SPLITS}
        self._metadata: list[str] | None = None  # names, those of the first document
        self._files = ExitStack()
        self._texts = {
            split: self._files.enter_context((folder / f"{split}.texts").open("wb+"))
            for split in SPLITS
        }
        self._table = self._files.enter_context(open_csv(folder / "examples.csv"))

    def add(self, example: Example) -> None:
        """Append a document that fits the schema."""
        if self._metadata is None:
            self._metadata = list(example.metadata)
            names = [f"{name}_" if name in RESERVED else name for name in self._metadata]
            csv.writer(self._table).writerow([*COLUMNS, *names])
        cells = [format_cell(example.metadata.get(name, "")) for name in self._metadata]
        csv.writer(self._table).writerow([example.id, example.split, "", example.group, *cells])
        self._texts[example.split].write(example.inputs.tobytes())
        self._bytes[example.split].append(example.inputs.size)

    def finish(self) -> None:
        """Turn text into tokens; a tokenizer that is trained has seen the training split only.

        Raises:
            DataError: a split is shorter than a window.
        """
        schema = train_tokenizer(self._read_texts("train"), self._schema)
        tokenizer = load_tokenizer(schema)
        for split in SPLITS:
            ends = self._write_tokens(split, tokenizer)
            (context,) = schema.target_shape
            if ends[-1] <= context:
                raise DataError(
                    f"the {split} split has {ends[-1]} tokens, expected more than data.context = "
                    f"{context}: add text, lower data.context, or change the fractions"
                )
            np.save(self._folder / f"{split}.ends.npy", np.array(ends))
            np.save(self._folder / f"{split}.bytes.npy", np.array(self._bytes[split]))
        self._files.close()
        for split in SPLITS:
            (self._folder / f"{split}.texts").unlink()

        layout = json.dumps({"dtype": schema.target_dtype})  # read by ml-architect
        (self._folder / "layout.json").write_text(layout, encoding="utf-8")
        content = json.dumps(asdict(schema))  # with the tokenizer, if it was trained
        (self._folder / "schema.json").write_text(content, encoding="utf-8")
        for path in self._folder.iterdir():
            flush(path)

    def _read_texts(self, split: Split) -> Iterator[bytes]:
        """The text of each document."""
        self._texts[split].seek(0)
        for size in self._bytes[split]:
            yield self._texts[split].read(size)

    def _write_tokens(self, split: Split, tokenizer: Tokenizer) -> list[int]:
        """A separator, then each document with one.

        Returns:
            The position after each separator.
        """
        dtype, ends = self._schema.target_dtype, [1]
        with (self._folder / f"{split}.tokens").open("wb") as file:
            file.write(np.array(tokenizer.separator, dtype).tobytes())
            for text in self._read_texts(split):
                tokens = np.append(tokenizer.encode(text), tokenizer.separator)
                file.write(tokens.astype(dtype).tobytes())
                ends.append(ends[-1] + len(tokens))
        return ends

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()


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

    Gathering and transforming a whole batch costs a fraction of doing it example by example. Files
    are opened on first use, once in each worker.
    """

    folder: Path
    split: Split
    augmentation: FeaturesConfig | None = None
    seed: int = 0
    rows: Array | None = None  # (N,), to use only these windows
    target_order: Array | None = None  # (N,), gives each window the targets of another one

    @cached_property
    def tokens(self) -> list[Array]:
        """Of the whole split, memory-mapped: those of each shard."""
        return load(self.folder, self.split, "tokens", self.schema.target_dtype)

    @cached_property
    def offsets(self) -> Array:
        """The position at which each shard begins, and that of the last token."""
        return np.cumsum([0, *(len(tokens) - 1 for tokens in self.tokens)])

    @cached_property
    def first_windows(self) -> Array:
        """The number of the window with which each shard begins, and the number of windows."""
        lengths = np.diff(self.offsets)
        return np.cumsum([0, *((lengths - self.context) // self.stride + 1)])

    @cached_property
    def ends(self) -> Array:
        """(D + 1,), positions in the tokens: document n, with its separator, ends at n + 1."""
        pairs = zip(load(self.folder, self.split, "ends.npy"), self.offsets, strict=False)
        return np.concatenate([[1], *(ends[1:] + offset for ends, offset in pairs)])

    @cached_property
    def num_bytes(self) -> Array:
        """(D,), of the text of each document."""
        return np.concatenate(load(self.folder, self.split, "bytes.npy"))

    @cached_property
    def schema(self) -> Schema:
        return Schema.load(self.folder / next(iter(read_manifest(self.folder)["shards"])))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.schema)

    @cached_property
    def digest(self) -> str:
        """Of the documents of all splits, without their metadata."""
        return read_manifest(self.folder)["digest"]

    @property
    def context(self) -> int:
        """Tokens in a window, T."""
        return self.schema.target_shape[0]

    @property
    def stride(self) -> int:
        """Tokens from the start of a window to that of the next one."""
        skipped = (self.offsets[-1] + 1) // VALIDATION_TOKENS if self.split == "validation" else 0
        return self.context * (1 + skipped)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one preprocessed window."""
        return tuple(self.preprocess(np.arange(1)).shape[1:])

    @property
    def size(self) -> int:
        """Number of tokens, for outcome.json."""
        return len(self) * self.context

    def metadata(self) -> tuple[list[str], list[list[str]]]:
        """The names of the metadata columns; and of each document, its id and metadata."""
        csv.field_size_limit(2**31 - 1)  # of a cell; by default 128 KiB
        lines: list[list[str]] = []  # the split of a header is "split"
        for shard in read_manifest(self.folder)["shards"]:
            with (self.folder / shard / "examples.csv").open(encoding="utf-8", newline="") as file:
                lines += csv.reader(file)
        width = len(COLUMNS)
        documents = [[line[0], *line[width:]] for line in lines if line[1] == self.split]
        return lines[0][width:], documents

    @cached_property
    def ids(self) -> "WindowIds":
        return WindowIds(self)

    def __len__(self) -> int:
        if self.rows is not None:
            return len(self.rows)
        return int(self.first_windows[-1])

    def starts(self, rows: Array) -> Array:
        """The positions in the tokens at which these windows begin, (B,)."""
        rows = rows if self.rows is None else self.rows[rows]
        shards = self.first_windows.searchsorted(rows, side="right") - 1
        return self.offsets[shards] + self.stride * (rows - self.first_windows[shards])

    def documents(self, positions: Array) -> Array:
        """The document of each position in the tokens; the first separator belongs to the first."""
        return np.maximum(self.ends.searchsorted(positions, side="right") - 1, 0)

    def preprocess(self, rows: Array) -> torch.Tensor:
        """The preprocessed inputs of these windows, (B, T)."""
        return transforms.preprocess(torch.from_numpy(self._windows(rows)[:, :-1]))

    @property
    def targets(self) -> Array:
        """(N, T), in memory: for a small number of rows."""
        rows = np.arange(len(self)) if self.target_order is None else self.target_order
        return self._windows(rows)[:, 1:]

    def __getitem__(self, key: BatchKey) -> Batch:
        inputs = self.preprocess(key.rows)
        if self.augmentation is not None:
            rng = generator(self.seed, "augment", key.epoch, key.position)
            inputs = transforms.augment(inputs, rng, self.augmentation)
        target_rows = key.rows if self.target_order is None else self.target_order[key.rows]
        return inputs, torch.from_numpy(self._windows(target_rows)[:, 1:]).long()

    def keys(self, batch_size: int) -> Iterator[BatchKey]:
        """All windows in order; the last batch may be smaller."""
        for first in range(0, len(self), batch_size):
            rows = np.arange(first, min(first + batch_size, len(self)))
            yield BatchKey(0, first // batch_size, rows)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        return map(self.__getitem__, self.keys(batch_size))

    def select(self, rows: Array) -> Self:
        """Only these windows; (M,), each below N."""
        return replace(self, rows=rows if self.rows is None else self.rows[rows])

    def _windows(self, rows: Array) -> Array:
        """Windows and the token after each, (B, T + 1)."""
        starts, size = self.starts(rows), self.context + 1
        if len(self.tokens) == 1:
            return self.tokens[0][starts[:, None] + np.arange(size)]
        shards = self.offsets.searchsorted(starts, side="right") - 1
        pairs = zip(shards, starts - self.offsets[shards], strict=True)
        return np.stack([self.tokens[shard][start : start + size] for shard, start in pairs])

    def __getstate__(self) -> dict[str, Any]:
        """Workers open the files themselves instead of being sent copies."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class WindowIds:
    """The id of each window, made on demand: there may be millions."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._documents = [id_ for id_, *_ in dataset.metadata()[1]]

    def __getitem__(self, row: int) -> str:
        position = int(self._dataset.starts(np.array(row)))
        document = int(self._dataset.documents(np.array(position)))
        token = max(0, position - int(self._dataset.ends[document]))
        return f"{self._documents[document]}, from token {token}"
