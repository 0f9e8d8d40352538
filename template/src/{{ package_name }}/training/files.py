# The template's: updates improve this file and keep your edits.
"""Files that a crash leaves whole, and files that somebody else may have put there."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from ..errors import RunInUseError, warn

MAX_JSON = 2**27  # bytes that are read; run.json once had any diff, however large
UNSUPPORTED = {errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""Errors of file systems that can't lock files, or flush folders."""


def read_json(path: Path) -> Any:
    """
    Raises:
        ValueError: it isn't a regular file, is too large or nested too deeply, or isn't JSON.
    """
    if path.exists() and not (path.is_file() and path.stat().st_size <= MAX_JSON):
        raise ValueError(f"expected a file of at most {MAX_JSON} bytes")
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def replace_text(path: Path, text: str) -> None:
    """Write atomically: a crash leaves either the old or the new content.

    Nobody can have put a link at the temporary name, which is new.
    """
    temporary = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # it isn't there, or the file system can't be written
            temporary.unlink()


@contextmanager
def locked(path: Path, timeout: float = -1) -> Generator[None]:
    """Be the only process that holds the lock of this folder. A crash releases it.

    Raises:
        RunInUseError: another process holds it for longer than so many seconds; -1 waits for ever.
    """
    lock = FileLock(path / ".lock", timeout=timeout)
    try:
        lock.acquire()
    except Timeout:
        raise RunInUseError(f"{path} is in use by another process; wait, or stop it") from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        warn(f"{path} can't be locked here: let only one process write to it")
    try:
        yield
    finally:
        lock.release()


def delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows can't open folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not path.is_dir() or error.errno not in UNSUPPORTED:
            raise
        warn("this file system can't flush folders: a power cut may lose the newest checkpoint")
    finally:
        os.close(descriptor)
