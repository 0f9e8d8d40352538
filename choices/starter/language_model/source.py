# Yours: an update never touches this file.
"""Reads the documents.

`data.path` names a folder of text files, a pattern such as "corpus/**/*.txt", or one file; texts.py
finds the documents in them. By default, they are the files of Python's own standard library. To
read anything else, rewrite the public functions; for another tokenizer, see tokenizer.py.
"""

import glob
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..settings import DataConfig
from .texts import Document, Layout, choose_layout, matches, read_documents, visible_files
from .tokenizer import NUM_BYTES
from .validation import Example, Schema, Split, Unreadable, split_by_hash

STDLIB = "stdlib"
IGNORED = {"encodings", "idlelib", "lib2to3", "site-packages", "test", "tests"}
"""Folders of the standard library. `encodings` has a hundred tables that differ in a few lines, and
would be in all splits."""


def schema(config: DataConfig) -> Schema:
    """Documents are bytes other than 0. A target is a window of tokens."""
    size = NUM_BYTES if config.tokenizer == "bytes" else config.vocabulary_size
    _, _, layout = _find_documents(config)
    return Schema(
        dtype="uint8",
        shape=(-1,),
        low=1,
        high=255,
        target_shape=(config.context,),
        target_dtype=str(np.min_scalar_type(size - 1)),
        vocabulary_size=size,
        notes=(layout.remark,) if layout.remark else (),
    )


def read(config: DataConfig) -> Iterator[Example | Unreadable]:
    """All documents, one at a time."""
    root, files, layout = _find_documents(config)

    # By position, the end of the text is held out, so its length has to be known first.
    length = 0
    if config.split == "position":
        for document in _read_files(files, root, layout):
            length += len(document.text) if isinstance(document, Document) else 0

    position = 0
    count = 0
    for document in _read_files(files, root, layout):
        count += 1
        if isinstance(document, Unreadable):
            yield document
            continue
        share = position / length if config.split == "position" else None
        yield _example(document, _split(document, share, config))
        position += len(document.text)
    if layout.documents == "separator" and layout.separator and count == len(files):
        yield Unreadable(config.path, f"has no line {layout.separator!r}: change data.separator")


def read_shard(config: DataConfig, number: int, count: int) -> Iterator[Example | Unreadable]:
    """Every `count`-th file from this number on, for `ml-architect prepare`."""
    root, files, layout = _find_documents(config)
    if config.split == "position" or len(files) < count:
        raise DataError(f"shards need data.split = 'hash', and a file each: there are {len(files)}")
    for text in _read_files(files[number::count], root, layout):
        yield text if isinstance(text, Unreadable) else _example(text, _split(text, None, config))


def read_new(path: Path, config: DataConfig) -> Iterator[Example | Unreadable]:
    """New documents, for the command `predict`: one file, or all files in a folder."""
    root = path if path.is_dir() else path.parent
    files = visible_files(path) if path.is_dir() else [path]
    if not files or not path.exists():
        raise DataError(f"{path}: expected a text file, or a folder with text files")
    for document in _read_files(files, root, replace(_layout(config), documents="file")):
        yield document if isinstance(document, Unreadable) else _example(document, "test")


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the files change; the cache is named after it."""
    _, files = _find_files(config)
    status = [(str(path), path.stat()) for path in files if path.exists()]
    # ctime is new for a file that was replaced by one of the same size and mtime.
    return repr([(path, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in status])


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

    if path.is_dir():
        root, files = path, visible_files(path)
    elif path.is_file():
        root, files = path.parent, [path]
    else:
        root = next(folder for folder in path.parents if not glob.has_magic(str(folder)))
        files = matches(config.path)
    if not files:
        reason = "no files" if path.exists() or glob.has_magic(config.path) else "doesn't exist"
        expected = f'a folder, a file, a pattern such as "corpus/**/*.txt", or {STDLIB!r}'
        raise DataError(f"data.path = {config.path!r}: {reason}; expected {expected}")
    return root, files


def _find_documents(config: DataConfig) -> tuple[Path, list[Path], Layout]:
    """And how the files are cut into documents."""
    root, files = _find_files(config)
    return root, files, choose_layout(_layout(config), files)


def _layout(config: DataConfig) -> Layout:
    return Layout(documents=config.documents, separator=config.separator, encoding=config.encoding)


def _read_files(
    files: Iterable[Path], root: Path, layout: Layout
) -> Iterator[Document | Unreadable]:
    for file in files:
        yield from read_documents(file, file.relative_to(root).as_posix(), layout)


def _example(document: Document, split: Split) -> Example:
    inputs = np.frombuffer(document.text, dtype=np.uint8)
    return Example(
        id=document.id,
        inputs=inputs,
        target=None,  # the text itself
        split=split,
        file=document.file,
        metadata={
            "bytes": inputs.size,
            "lines": len(document.text.splitlines()),
            "ascii_fraction": float((inputs < 128).mean()),
        },
    )


def _split(document: Document, share: float | None, config: DataConfig) -> Split:
    """By hash, so that copies share a split; or by the share of the text that comes before.

    If documents belong together (an author, a repository), set `group` in `_example` and hash that.
    Neighbouring blocks of one long text, such as a novel, share names and topics: a split by
    position is stricter.
    """
    if share is None:
        return split_by_hash(document.text, config.validation_fraction, config.test_fraction)
    if share >= 1 - config.test_fraction:
        return "test"
    is_validation = share >= 1 - config.test_fraction - config.validation_fraction
    return "validation" if is_validation else "train"
