# Yours: an update never touches this file.
"""Where the text comes from, and how it becomes tokens.

`data.path` names a file, a folder or a pattern such as 'corpus/**/*.txt'. Without one, the source
of Python's own standard library serves. To read anything else, rewrite this file; everything else
follows from its four functions and the tokenizer.
"""

from __future__ import annotations

import codecs
import glob
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from ..config import DataConfig
from ..errors import DataError
from ..protocols import Array, Metadata, Record, Split, Unreadable
from .files import fingerprint_of
from .validation import Schema, content

STDLIB = "stdlib"
LEFT_OUT = {"encodings", "idlelib", "lib2to3", "site-packages", "test", "tests"}
"""Folders of the standard library that are no part of the corpus; `encodings` is a hundred tables
that differ in a few lines, and would stand in training and in the test alike."""

BLOCK = 1 << 20  # bytes of text in a record: what is in memory at once


class Tokenizer(Protocol):
    """Turns text into tokens and back. The one that counts is `TOKENIZER`, below.

    With the package `tokenizers`, one that was trained on the corpus goes in like this:

        class Pairs:
            def __init__(self) -> None:
                self._pairs = tokenizers.Tokenizer.from_file("tokenizer.json")
                self.size = self._pairs.get_vocab_size()
                self.separator = self._pairs.token_to_id("<|endoftext|>")

            def encode(self, text: Array) -> Array:
                found = self._pairs.encode(text.tobytes().decode(), add_special_tokens=False)
                return np.array(found.ids)

            def decode(self, tokens: Array) -> bytes:
                return self._pairs.decode(tokens.tolist(), skip_special_tokens=False).encode()

        TOKENIZER = Pairs()
    """

    @property
    def size(self) -> int:
        """Of the vocabulary, the separator included."""
        ...

    @property
    def separator(self) -> int:
        """The token between two documents, which no text has."""
        ...

    def encode(self, text: Array) -> Array:
        """The tokens, (n,), of a block of text, (bytes,) uint8, that begins no character midway."""
        ...

    def decode(self, tokens: Array) -> bytes:
        """The text that so many tokens, (n,), stand for; it may begin or end within a character."""
        ...


class Bytes:
    """A token a byte. Byte 0, which no sound text has, stands between documents."""

    size = 256
    separator = 0

    def encode(self, text: Array) -> Array:
        """See `Tokenizer`."""
        return text

    def decode(self, tokens: Array) -> bytes:
        """See `Tokenizer`."""
        return tokens.astype(np.uint8).tobytes()


TOKENIZER: Tokenizer = Bytes()


def schema(config: DataConfig) -> Schema:
    """What a sound block of text looks like: bytes, of any number, and none of them 0."""
    return Schema(dtype="uint8", shape=(-1,), low=1, high=255, classes=(), window=config.context)


def read(config: DataConfig) -> Iterator[Record | Unreadable]:
    """Every text, in blocks of at most a megabyte; what isn't text is given as `Unreadable`.

    The blocks of one file follow each other, and are one group.

    Raises:
        DataError: there is no file by `data.path`.
    """
    root, files = _files(config)
    for path in files:
        yield from _read(path, path.relative_to(root).as_posix())


def split_of(record: Record, config: DataConfig) -> Split:
    """The split of a text, by how it begins: copies stay together, and new files move no other."""
    share = int(record.group[:8], 16) / 2**32
    if share < config.test_fraction:
        return "test"
    return "validation" if share < config.test_fraction + config.validation_fraction else "train"


def fingerprint(config: DataConfig) -> str:
    """Changes whenever a file does."""
    root, files = _files(config)
    return fingerprint_of(files, root, config.cache_dir)


def _files(config: DataConfig) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the files in the order of their names.

    Hidden files are left out, unless a pattern names them.
    """
    path, nothing = Path(config.path), "doesn't exist"
    if config.path == STDLIB:
        root = Path(sysconfig.get_path("stdlib"))
        files = [each for each in root.rglob("*.py") if _belongs(each, root)]
    elif path.is_dir():
        root, nothing = path, "an empty folder"
        files = [path / each for each in _matching("**/*", path)]
    else:
        root = next(each for each in path.parents if not glob.has_magic(str(each)))
        nothing = "no file has such a name" if glob.has_magic(config.path) else nothing
        files = [path] if path.is_file() else [Path(each) for each in _matching(config.path)]
    if not (files := sorted({each for each in files if each.is_file()})):
        raise DataError(
            f"data.path = {config.path!r}: {nothing}; expected text files, by a folder or a "
            f"pattern such as 'corpus/**/*.txt', or {STDLIB!r}"
        )
    return root, files


def _matching(pattern: str, root: Path | None = None) -> Iterator[str]:
    """What a pattern stands for; unlike `Path.glob`, it leaves out what is hidden."""
    return glob.iglob(pattern, root_dir=root, recursive=True)  # noqa: PTH207


def _belongs(path: Path, root: Path) -> bool:
    """Whether a file of the standard library is part of the corpus; some are empty."""
    return not LEFT_OUT.intersection(path.relative_to(root).parts) and path.stat().st_size > 0


def _read(path: Path, name: str) -> Iterator[Record | Unreadable]:
    """One file, a block at a time; its group is what the first block says."""
    place, group = 0, ""
    for text in _blocks(path):
        if problem := _problem(text, place):
            yield Unreadable(name, problem, str(path))
            return
        inputs = np.frombuffer(text, dtype=np.uint8)
        group = group or content(inputs).hex()
        metadata: Metadata = {
            "bytes": len(text),
            "lines": text.count(b"\n"),
            "ASCII fraction": float((inputs < 128).mean()),
        }
        block = f"{name}, from byte {place}" if place else name
        yield Record(block, inputs, 0, group=group, file=str(path), metadata=metadata)
        place += len(text)
    if place == 0:
        yield Unreadable(name, "a file of 0 bytes", str(path))


def _blocks(path: Path) -> Iterator[bytes]:
    """The file, a megabyte at most at a time, cut after a line or else between two characters."""
    rest = b""
    with path.open("rb") as file:
        while new := file.read(BLOCK - len(rest)):
            block, end = rest + new, len(rest) + len(new)
            if end == BLOCK:
                end = block.rfind(b"\n") + 1 or _last_character(block)
            yield block[:end]
            rest = block[end:]
    if rest:
        yield rest


def _last_character(block: bytes) -> int:
    """Where it begins: bytes 10xxxxxx go on with a character of UTF-8, at most three of them."""
    places = range(len(block) - 1, len(block) - 5, -1)
    return next((at for at in places if block[at] & 0xC0 != 0x80), len(block))


def _problem(block: bytes, place: int) -> str:
    """What keeps a block, which begins so many bytes into its file, from being text."""
    if place == 0 and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16, by its first two bytes; convert it to UTF-8"
    if (at := block.find(0)) >= 0:
        return f"byte {place + at} is 0, which no text has: leave the file out, or convert it"
    try:
        block.decode()
    except UnicodeDecodeError as error:
        found = f"byte {place + error.start}, 0x{block[error.start]:02x}, isn't UTF-8"
        if block[: error.start].isascii():
            return f"{found}; convert the file, or leave it out"
        return f"{found} though what stands before it is: mixed encodings"
    return ""
