# The template's: updates improve this file and keep your edits.
"""Validated examples on disk.

The folder is named after everything that determines its content. It is written under a temporary
name and renamed, so that it is either complete or not there, and two processes may build it at
once. If a file was changed since, the cache is built again.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import numpy as np

from ..config import Config, to_dict
from ..errors import DataError
from ..training.files import locked, read_json, sha256
from . import source
from .dataset import CacheWriter, Dataset
from .loader import permutation
from .validation import Example, Schema, Split, Unreadable, Validator


def load_split(config: Config, split: Split) -> Dataset:
    """The examples of one split; those of the training split are augmented.

    Of the training split, `training.train_fraction`; a smaller fraction is a subset of a larger.

    Raises:
        DataError: there are invalid examples.
    """
    augmentation = config.features if split == "train" else None
    dataset = Dataset(prepare(config), split, augmentation, config.seed)
    fraction = config.training.train_fraction
    if split == "train" and fraction < 1:
        places = slice(max(1, round(fraction * len(dataset))))
        rows = permutation(len(dataset), config.seed, "subset", places=places)
        dataset = dataset.select(np.sort(rows))
    return dataset


def prepare(config: Config) -> Path:
    """The cache folder of this config, built if need be.

    Raises:
        DataError: there are invalid examples.
    """
    folder = config.cache_dir / cache_key(config)
    if not is_intact(folder):
        validate(config).raise_problems(shown=20)
    return folder


def cache_key(config: Config) -> str:
    """Changes with the source, the settings in `data`, and the code in this folder.

    What source.py imports from elsewhere isn't seen: keep its helpers beside it.
    """
    if (given := str(config.cache_dir)).startswith("~") or "$" in given:
        raise DataError(f"cache_dir = '{given}': expected a path without ~ and $NAME")
    parts = [source.fingerprint(config.data), json.dumps(to_dict(config)["data"], sort_keys=True)]
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.name != "loader.py":
            parts.append(path.read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def validate(config: Config) -> Validator:
    """Check every example, and cache them if all are valid.

    Raises:
        DataError: there is nothing to read, such as a missing file.
    """
    schema = source.schema(config.data)
    return build(config.cache_dir / cache_key(config), schema, source.read(config.data))


def build(folder: Path, schema: Schema, examples: Iterable[Example | Unreadable]) -> Validator:
    """Check these examples, and write them to this folder if all are valid."""
    validator = Validator(schema)
    temporary = folder.with_name(f".{uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        with CacheWriter(temporary, schema) as writer:
            for example in examples:
                validator.check(example)
                if not validator.problems and not isinstance(example, Unreadable):
                    writer.add(example)
            validator.finish()
            if not validator.problems:
                writer.finish()
                content = json.dumps({"files": describe(temporary), "digest": _digest(temporary)})
                (temporary / "manifest.json").write_text(content, encoding="utf-8")
                with locked(folder.parent):
                    if not is_intact(folder):  # else another process was faster
                        shutil.rmtree(folder, ignore_errors=True)
                        temporary.rename(folder)
    except OSError as error:
        error.filename = error.filename or str(folder)  # a full disk names no file
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return validator


def _digest(folder: Path) -> str:
    """Of what is learned from, so without the metadata. A run is resumed with equal data only."""
    checksum = hashlib.sha256()
    for path in sorted(folder.glob("*.*")):
        if path.name not in ("manifest.json", "examples.csv"):
            checksum.update(bytes.fromhex(sha256(path)))
    return checksum.hexdigest()[:16]


def describe(folder: Path) -> dict[str, list[int]]:
    """Size and time of each file; shards, which are folders, have manifests of their own."""
    files = [path for path in sorted(folder.glob("[!.]*.*")) if path.name != "manifest.json"]
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def is_intact(folder: Path) -> bool:
    try:
        return read_json(folder / "manifest.json")["files"] == describe(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False
