# The template's: updates improve this file and keep your edits.
"""A fingerprint of many files that doesn't read them all at every start."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4


def fingerprint_of(files: Sequence[Path], root: Path, remembered_in: Path) -> str:
    """A digest of the files' names and contents.

    It is remembered by names, sizes and times of change, so that files are read again only if one
    of these differs. A copy of the files elsewhere has the same digest.

    Args:
        files: in an order that is always the same.
        root: the folder below which they lie.
        remembered_in: the folder for what is remembered.
    """
    stamp = hashlib.sha256(str(root.resolve()).encode())
    for path in files:
        status = path.stat()
        name = path.relative_to(root).as_posix()
        stamp.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    remembered = remembered_in / f"{stamp.hexdigest()[:32]}.fingerprint"
    if remembered.is_file() and len(digest := remembered.read_text(encoding="utf-8")) == 64:
        return digest
    contents = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            of_file = hashlib.file_digest(file, "sha256").digest()
        contents.update(path.relative_to(root).as_posix().encode() + b"\0" + of_file)
    remembered_in.mkdir(parents=True, exist_ok=True)
    unfinished = remembered_in / f".{uuid4().hex}"
    unfinished.write_text(contents.hexdigest(), encoding="utf-8")
    unfinished.replace(remembered)
    return contents.hexdigest()
