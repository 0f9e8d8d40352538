# The template's: updates improve this file and keep your edits.
"""The cache in shards, for text that one process would pack for days.

A shard is a cache of the documents of some files. It needs no other shard, so any process can make
it, in any order. `ml-architect prepare` starts these processes:

    python -m PACKAGE.data.shards CONFIG COUNT           prints the numbers of missing shards
    python -m PACKAGE.data.shards CONFIG COUNT NUMBER    makes one, and prints their folder
"""

import hashlib
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config, from_dict, read_toml
from ..errors import DataError, report_error, terminal
from ..training.files import locked, read_json, replace_text
from .tokenizer import needs_training
from .validation import Array, Schema, Split


def read_manifest(folder: Path) -> dict[str, Any]:
    """Of a cache, which is itself its only shard unless `ml-architect prepare` made it.

    Raises:
        DataError: shards are missing.
    """
    manifest = {"shards": {"": {}}, **read_json(folder / "manifest.json")}
    if not manifest["shards"]:
        raise DataError(f"{folder}: shards are missing; continue with: ml-architect prepare")
    return manifest


def load(folder: Path, split: Split, name: str, dtype: str = "") -> list[Array]:
    """A file of a split in each shard; with a dtype, of raw numbers, memory-mapped."""
    arrays: list[Array] = []
    for shard, sizes in read_manifest(folder)["shards"].items():
        path = folder / shard / f"{split}.{name}"
        if sizes and path.stat().st_size != sizes[path.name]:
            raise DataError(f"{path} was changed; to make it again: ml-architect prepare")
        try:
            # Indexing a memmap takes twice as long as an array.
            array = np.memmap(path, dtype, "r").view(np.ndarray) if dtype else np.load(path)
        except ValueError as error:
            raise DataError(f"{path} is corrupt ({error}): delete it to rebuild") from None
        arrays.append(array)
    return arrays


def make(config: Config, shards: list[Path], number: int) -> None:
    """Pack the documents of a shard, unless it is there.

    A tokenizer is trained on the training documents of shard 0, for which the others wait.

    Raises:
        DataError: there are invalid documents.
    """
    from . import source
    from .cache import build, is_intact

    read_shard = getattr(source, "read_shard", None)
    if read_shard is None:
        raise DataError("data/source.py: add read_shard, as in docs/clusters.md of ml-architect")
    if is_intact(shards[number]):
        return
    schema = source.schema(config.data)
    if number > 0 and needs_training(schema):
        (tokenizer := shards[0].with_name("tokenizer")).mkdir(exist_ok=True)
        with locked(tokenizer):
            make(config, shards, 0)
        schema = Schema.load(shards[0])
    documents = read_shard(config.data, number, len(shards))
    build(shards[number], schema, documents).raise_problems(shown=20)


def update(folder: Path, shards: list[Path]) -> list[int]:
    """Write the manifest: the same whoever made the shards, and in whatever order.

    Until all are there it has none, so that `train` doesn't pack the text itself.

    Returns:
        The numbers of those that are missing.

    Raises:
        DataError: the text is cached already, in one piece.
    """
    from .cache import describe, is_intact

    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if is_intact(folder) and "shards" not in read_json(folder / "manifest.json"):
            raise DataError(f"{folder} is in one piece; for shards, use another cache_dir")
        for name in describe(folder):  # of a cache in one piece that was changed
            (folder / name).unlink()
        missing = [number for number, shard in enumerate(shards) if not is_intact(shard)]
        facts: dict[str, dict[str, Any]] = {}
        for shard in () if missing else shards:
            manifest = read_json(shard / "manifest.json")
            sizes = {name: size for name, (size, _) in manifest["files"].items()}
            facts[shard.name] = {"digest": manifest["digest"], **sizes}
        for unfinished in () if missing else folder.glob(".?*/"):  # of processes that were killed
            shutil.rmtree(unfinished, ignore_errors=True)
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        content = json.dumps({"files": {}, "digest": digest, "shards": facts})
        replace_text(folder / "manifest.json", content)
    return missing


@terminal()
def main(path: str, count: str, *numbers: str) -> int:
    from .cache import cache_key

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to remove what is unfinished
    try:
        config = from_dict(read_toml(Path(path)))
        folder = config.cache_dir / cache_key(config)
        shards = [folder / f"{number:05d}-of-{int(count):05d}" for number in range(int(count))]
        missing = update(folder, shards)
        for number in numbers:
            make(config, shards, int(number))
            missing = update(folder, shards)
        print(*([folder] if numbers else missing))
    except (Exception, KeyboardInterrupt) as error:
        return report_error(error)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
