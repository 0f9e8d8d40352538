# The template's: updates improve this file and keep your edits.
"""Validated records on disk, in a folder that is named by what they are made of.

The folder appears whole or not at all, so that two processes may build it at once. What is found
damaged is built again, and never used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from ..config import Config, DataConfig, to_dict
from ..protocols import Record, Split, Unreadable
from . import examples, source
from .dataset import Writer
from .validation import Findings, Inspection, Schema

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
NOT_IN_KEY = {"cache.py", "loader.py"}
"""Code of this folder that doesn't affect what is written."""


def schema(config: DataConfig) -> Schema:
    """What a valid example looks like."""
    return source.schema(config)


def entries(config: DataConfig) -> Iterator[tuple[Record, Split] | Unreadable]:
    """Every record of the source with its split."""
    for entry in source.read(config):
        yield entry if isinstance(entry, Unreadable) else (entry, source.split_of(entry, config))


def fingerprint(config: DataConfig) -> str:
    """Changes with the source, with this folder's code that reads it, and with every setting of it.

    What `source.py` imports from elsewhere isn't looked at: keep its helpers beside it.
    """
    settings = to_dict(Config(data=config))["data"]
    for name in ("cache_dir", "workers"):  # these don't change a record
        del settings[name]
    parts = [source.fingerprint(config), json.dumps(settings, sort_keys=True)]
    code = sorted(Path(__file__).parent.glob("*.py"))
    parts += [path.read_text(encoding="utf-8") for path in code if path.name not in NOT_IN_KEY]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def prepare(config: DataConfig) -> Path:
    """The folder with the validated records of each split, built unless it is there and intact.

    Raises:
        DataError: there are records that don't fit the schema.
    """
    folder = config.cache_dir / fingerprint(config)
    if not _is_intact(folder):
        validate(config).raise_problems(most=20)
    logger.debug("records are taken from %s", folder)
    return folder


def digest(folder: Path) -> str:
    """Digest of the validated examples, whatever code wrote them; a run records it.

    Without their metadata, from which nothing is learned.
    """
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    counted = sorted((name, each) for name, each in files.items() if name != examples.FILE)
    contents = "\0".join(f"{name}\0{each['sha256']}" for name, each in counted)
    return hashlib.sha256(contents.encode()).hexdigest()[:16]


def validate(config: DataConfig) -> Findings:
    """Look at every record, once; where all are sound, they are in the cache afterwards.

    The result lists the problems; it doesn't raise them.

    Raises:
        DataError: there is nothing to look at, such as a file that is missing.
    """
    expected = schema(config)
    inspection = Inspection(expected)
    folder = config.cache_dir / fingerprint(config)
    unfinished = config.cache_dir / f".{folder.name}-{uuid4().hex}"
    unfinished.mkdir(parents=True)
    try:
        with Writer(unfinished, expected) as writer:
            for entry in entries(config):
                inspection.look(entry)
                if inspection.sound and not isinstance(entry, Unreadable):
                    writer.add(*entry)
            findings = inspection.findings()
            if not findings.problems:
                writer.close()
        if not findings.problems:
            _seal(unfinished)
            _put(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return findings


def _put(unfinished: Path, folder: Path) -> None:
    """Give the folder its name, unless another process has been first; damage makes room."""
    for last in (False, False, True):
        if _is_intact(folder):
            return
        try:
            if folder.exists():
                logger.warning("%s is damaged, and is made again", folder)
                aside = folder.with_name(f".{folder.name}-{uuid4().hex}")
                folder.rename(aside)
                shutil.rmtree(aside, ignore_errors=True)
            unfinished.rename(folder)
        except OSError:  # another process did one of the two
            if last or not unfinished.exists():
                raise


def _seal(folder: Path) -> None:
    """Note what every file has to be."""
    files = {path.name: _described(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(files, indent=2), encoding="utf-8")


def _described(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    status = path.stat()
    return {"bytes": status.st_size, "changed": status.st_mtime_ns, "sha256": digest}


def _is_intact(folder: Path) -> bool:
    """Whether the files are those that were written; read again only if they were touched since."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for name, written in files.items():
            status = (folder / name).stat()
            untouched = status.st_mtime_ns == written["changed"]
            if status.st_size != written["bytes"] or not (
                untouched or _described(folder / name)["sha256"] == written["sha256"]
            ):
                return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return bool(files)
