# Yours: an update never touches this file.
"""Where the images come from: a folder of images for each class, or scans of handwritten digits.

`data.path` names the folder; each folder in it is a class, with images in it at any depth. Without
one, the 1,797 scans that ship with scikit-learn serve, from
https://archive.ics.uci.edu/dataset/80 (Alpaydin & Kaynak, 1998). To read anything else, rewrite
this file; everything else follows from its four functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np

from ..config import DataConfig
from ..errors import DataError
from ..protocols import Array, Record, Split, Unreadable
from .files import fingerprint_of
from .validation import Schema, content

DIGITS = "digits"


def schema(config: DataConfig) -> Schema:
    """What a sound image looks like: (size, size) or (size, size, 3), in 0..255."""
    shape = (config.size, config.size, 3) if config.color else (config.size, config.size)
    names = tuple("0123456789") if config.path == DIGITS else tuple(_images(config))
    return Schema(dtype="uint8", shape=shape, low=0, high=255, classes=names)


def read(config: DataConfig) -> Iterator[Record | Unreadable]:
    """Every image, one at a time; what can't be decoded is given as `Unreadable`.

    Raises:
        DataError: `data.path` is no folder with folders of images.
    """
    if config.path == DIGITS:
        yield from _digits(config)
        return
    for label, paths in enumerate(_images(config).values()):
        for path in paths:
            yield _read(path, label, config)


def split_of(record: Record, config: DataConfig) -> Split:
    """The split of a record, by its content: duplicates stay together, and new data moves nothing.

    Where records belong together (a patient, a scene), give them a `group`, and it goes by that.
    """
    key = content(np.frombuffer(record.group.encode(), np.uint8) if record.group else record.inputs)
    share = int.from_bytes(key[:4], "big") / 2**32
    if share < config.test_fraction:
        return "test"
    return "validation" if share < config.test_fraction + config.validation_fraction else "train"


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the source does."""
    if config.path == DIGITS:
        return f"scikit-learn {version('scikit-learn')}"
    paths = [path for paths in _images(config).values() for path in paths]
    return fingerprint_of(paths, Path(config.path), config.cache_dir)


def _images(config: DataConfig) -> dict[str, list[Path]]:
    """The files of each class, both in the order of their names; hidden files are left out."""
    root, expected = Path(config.path), "expected a folder with a folder of images for each class"
    if not root.is_dir():
        given = "is a file" if root.exists() else "doesn't exist"
        raise DataError(f"data.path = {config.path!r}: {given}; {expected}, or 'digits'")
    classes: dict[str, list[Path]] = {}
    for folder in sorted(each for each in root.iterdir() if each.is_dir()):
        files = sorted(path for path in folder.rglob("[!.]*") if path.is_file())
        if not folder.name.startswith("."):
            classes[folder.name] = files
    if not any(classes.values()):
        raise DataError(f"data.path = {config.path!r}: no images in it; {expected}, or 'digits'")
    if empty := [name for name, files in classes.items() if not files]:
        raise DataError(f"{root / empty[0]}: an empty folder; put images into it or remove it")
    return classes


def _read(path: Path, label: int, config: DataConfig) -> Record | Unreadable:
    """Decode one image, turn it upright, and cut its middle to the size."""
    from PIL import Image, ImageOps

    name, size = path.relative_to(config.path).as_posix(), path.stat().st_size
    if size == 0:
        return Unreadable(name, "a file of 0 bytes", str(path))
    try:
        with Image.open(path) as opened:
            width, height = opened.size
            opened.draft("RGB", (config.size, config.size))  # a large JPEG, in a fraction of time
            upright = ImageOps.exif_transpose(opened).convert("RGB" if config.color else "L")
        image = np.asarray(ImageOps.fit(upright, (config.size, config.size)))
    except Exception as error:  # Pillow's decoders raise whatever they like
        problem = f"not an image that can be decoded ({type(error).__name__}: {error})"
        return Unreadable(name, problem.replace(f" {str(path)!r}", ""), str(path))
    shape: dict[str, float | str] = {"width": width, "height": height, "bytes": size}
    return Record(name, image, label, file=str(path), metadata=_statistics(image) | shape)


def _digits(config: DataConfig) -> Iterator[Record]:
    from PIL import Image
    from sklearn.datasets import load_digits  # takes a second: only when the cache is cold

    images, labels = cast("tuple[Array, Array]", load_digits(return_X_y=True))
    for row, (scan, label) in enumerate(zip(images, labels, strict=True)):
        pixels = np.rint(scan.reshape(8, 8) * (255 / 16)).astype(np.uint8)
        image = np.asarray(
            Image.fromarray(pixels)
            .convert("RGB" if config.color else "L")
            .resize((config.size, config.size))
        )
        yield Record(f"digit-{row:04d}", image, int(label), metadata=_statistics(image))


def _statistics(image: Array) -> dict[str, float | str]:
    return {"brightness": float(image.mean()), "contrast": float(image.std())}
