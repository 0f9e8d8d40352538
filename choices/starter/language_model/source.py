# Yours: an update never touches this file.
"""Reads the documents, and turns text into tokens.

`data.path` names a folder of text files, a pattern such as "corpus/**/*.txt", or one file, which is
cut into pieces. By default, the documents are the files of Python's own standard library. To read
anything else, rewrite the four public functions.
"""

import glob
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..settings import DataConfig
from .validation import Array, Example, Schema, Unreadable, split_by_hash

STDLIB = "stdlib"
IGNORED = {"encodings", "idlelib", "lib2to3", "site-packages", "test", "tests"}
"""Folders of the standard library. `encodings` has a hundred tables that differ in a few lines, and
would be in all splits."""

PIECE = 1 << 13  # bytes, about: a document, if there is only one file


class ByteTokenizer:
    """One token per byte. Byte 0, which no valid text contains, separates documents.

    To use another one, such as a byte-pair encoding of the package `tokenizers`, replace the class:

        class BytePairTokenizer:
            def __init__(self) -> None:
                self._tokenizer = tokenizers.Tokenizer.from_file("tokenizer.json")
                self.size = self._tokenizer.get_vocab_size()
                self.separator = self._tokenizer.token_to_id("<|endoftext|>")

            def encode(self, text: bytes) -> Array:
                encoding = self._tokenizer.encode(text.decode(), add_special_tokens=False)
                return np.array(encoding.ids)

            def decode(self, tokens: Array) -> bytes:
                return self._tokenizer.decode(tokens.tolist(), skip_special_tokens=False).encode()
    """

    size = 256  # of the vocabulary, including the separator
    separator = 0

    def encode(self, text: bytes) -> Array:
        return np.frombuffer(text, dtype=np.uint8)

    def decode(self, tokens: Array) -> bytes:
        """The text may begin or end within a character."""
        return tokens.astype(np.uint8).tobytes()


TOKENIZER = ByteTokenizer()


def schema(config: DataConfig) -> Schema:
    """Documents are bytes other than 0. A target is a window of tokens."""
    return Schema(
        dtype="uint8",
        shape=(-1,),
        low=1,
        high=255,
        target_shape=(config.context,),
        target_dtype=str(np.min_scalar_type(TOKENIZER.size - 1)),
        vocabulary_size=TOKENIZER.size,
    )


def read(config: DataConfig) -> Iterator[Example | Unreadable]:
    """All documents, one at a time."""
    root, files = _find_files(config)
    for path in files:
        yield from _read_file(path, root, config, PIECE if len(files) == 1 else -1)


def read_new(path: Path, config: DataConfig) -> Iterator[Example | Unreadable]:
    """New documents, for the command `predict`: one file, or all files in a folder."""
    files = [path] if path.is_file() else sorted(path.rglob("[!.]*"))
    files = [file for file in files if file.is_file()]
    if not files:
        raise DataError(f"{path}: expected a text file, or a folder with text files")
    for file in files:
        yield from _read_file(file, path if path.is_dir() else path.parent, config)


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the files change; the cache is named after it."""
    _, files = _find_files(config)
    return repr([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files])


def _find_files(config: DataConfig) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the files, sorted."""
    path = Path(config.path)
    if config.path == STDLIB:
        root = Path(sysconfig.get_path("stdlib"))
        files = [
            file
            for file in sorted(root.rglob("*.py"))
            if not IGNORED.intersection(file.relative_to(root).parts) and file.stat().st_size
        ]
        return root, files

    # Unlike Path.glob, glob.iglob ignores hidden files.
    pattern = f"{glob.escape(config.path)}/**/*" if path.is_dir() else config.path
    matches = [path] if path.is_file() else map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207
    files = sorted({match for match in matches if match.is_file()})
    if not files:
        reason = "no files" if path.exists() or glob.has_magic(config.path) else "doesn't exist"
        expected = f'a folder, a file, a pattern such as "corpus/**/*.txt", or {STDLIB!r}'
        raise DataError(f"data.path = {config.path!r}: {reason}; expected {expected}")
    if path.is_dir():
        return path, files
    return next(folder for folder in path.parents if not glob.has_magic(str(folder))), files


def _read_file(
    path: Path, root: Path, config: DataConfig, piece: int = -1
) -> Iterator[Example | Unreadable]:
    """A file as one document, or as pieces of so many bytes, each of which ends with a line."""
    name, position = path.relative_to(root).as_posix(), 0
    with path.open("rb") as file:
        while lines := file.readlines(piece):
            text = b"".join(lines)
            inputs = np.frombuffer(text, dtype=np.uint8)
            id_ = f"{name}, from byte {position}" if piece > 0 else name
            position += len(text)
            if problem := _problem(text):
                yield Unreadable(id_, problem, str(path))
                continue
            # Copies share a split. If documents belong together (an author, a repository), set
            # `group` and split by that instead.
            yield Example(
                id=id_,
                inputs=inputs,
                target=None,  # the text itself
                split=split_by_hash(text, config.validation_fraction, config.test_fraction),
                file=str(path),
                metadata={
                    "bytes": len(text),
                    "lines": len(lines),
                    "ascii_fraction": float((inputs < 128).mean()),
                },
            )
    if position == 0:
        yield Unreadable(name, "an empty file", str(path))


def _problem(text: bytes) -> str:
    position = text.find(0)
    if position >= 0:
        return f"byte {position} is 0: a binary file, or UTF-16; remove it, or convert it to UTF-8"
    try:
        text.decode()
    except UnicodeDecodeError as error:
        byte = text[error.start]
        return f"byte {error.start} (0x{byte:02x}) isn't UTF-8; convert the file, or remove it"
    return ""
