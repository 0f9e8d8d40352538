# Yours: an update never touches this file.
"""Reads the images: from one folder per class, or scikit-learn's handwritten digits.

`data.path` names the folder; each folder in it is a class, with images at any depth. The 1,797
digits are from https://archive.ics.uci.edu/dataset/80 (Alpaydin & Kaynak, 1998). To read anything
else, rewrite the four public functions.
"""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np

from ..errors import DataError
from ..settings import DataConfig
from .validation import Array, Example, Schema, Unreadable, split_by_hash

DIGITS = "digits"


def schema(config: DataConfig) -> Schema:
    """Images are (size, size) or (size, size, 3), between 0 and 255."""
    shape = (config.size, config.size, 3) if config.color else (config.size, config.size)
    classes = tuple("0123456789") if config.path == DIGITS else tuple(_images_by_class(config))
    return Schema(dtype="uint8", shape=shape, low=0, high=255, classes=classes)


def read(config: DataConfig) -> Iterator[Example | Unreadable]:
    """All examples, one at a time."""
    if config.path == DIGITS:
        yield from _read_digits(config)
        return
    for label, paths in enumerate(_images_by_class(config).values()):
        for path in paths:
            yield _read_image(path, Path(config.path), config, label)


def read_new(path: Path, config: DataConfig) -> Iterator[Example | Unreadable]:
    """New images without labels, for the command `predict`: one file, or all files in a folder."""
    files = [path] if path.is_file() else sorted(path.rglob("[!.]*"))
    files = [file for file in files if file.is_file()]
    if not files:
        raise DataError(f"{path}: expected an image, or a folder with images")
    root = path if path.is_dir() else path.parent
    for file in files:
        yield _read_image(file, root, config, None)


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the images change; the cache is named after it."""
    if config.path == DIGITS:
        return f"scikit-learn {version('scikit-learn')}"
    files = [path for paths in _images_by_class(config).values() for path in paths]
    return repr([(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files])


def _images_by_class(config: DataConfig) -> dict[str, list[Path]]:
    root, expected = Path(config.path), "expected a folder with one subfolder of images per class"
    if not root.is_dir():
        reason = "is a file" if root.exists() else "doesn't exist"
        raise DataError(f"data.path = {config.path!r}: {reason}; {expected}, or 'digits'")

    classes: dict[str, list[Path]] = {}
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            files = sorted(path for path in folder.rglob("[!.]*") if path.is_file())
            if not files:
                raise DataError(f"{folder}: an empty folder; add images or remove it")
            classes[folder.name] = files
    if not classes:
        raise DataError(f"data.path = {config.path!r}: no images; {expected}, or 'digits'")
    return classes


def _read_image(
    path: Path, root: Path, config: DataConfig, label: int | None
) -> Example | Unreadable:
    """Decode an image, apply its EXIF orientation, resize it and crop its center."""
    from PIL import Image, ImageOps

    name, size = path.relative_to(root).as_posix(), path.stat().st_size
    if size == 0:
        return Unreadable(name, "an empty file", str(path))
    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (config.size, config.size))  # decodes large JPEGs much faster
            upright = ImageOps.exif_transpose(opened).convert("RGB" if config.color else "L")
        image = np.asarray(ImageOps.fit(upright, (config.size, config.size)))
    except Exception as error:  # decoders raise anything
        problem = f"can't be decoded as an image ({type(error).__name__}: {error})"
        return Unreadable(name, problem.replace(f" {str(path)!r}", ""), str(path))

    return _example(name, image, label, config, str(path), size)


def _read_digits(config: DataConfig) -> Iterator[Example]:
    from PIL import Image
    from sklearn.datasets import load_digits  # slow to import, and not needed with a cache

    images, labels = cast("tuple[Array, Array]", load_digits(return_X_y=True))
    for row, (scan, label) in enumerate(zip(images, labels, strict=True)):
        pixels = np.rint(scan.reshape(8, 8) * (255 / 16)).astype(np.uint8)
        image = Image.fromarray(pixels).convert("RGB" if config.color else "L")
        resized = np.asarray(image.resize((config.size, config.size)))
        yield _example(f"digit-{row:04d}", resized, int(label), config)


def _example(
    name: str, image: Array, label: int | None, config: DataConfig, file: str = "", size: int = 0
) -> Example:
    # Equal images share a split. If examples belong together (a patient, a scene), set `group`
    # and split by that instead.
    return Example(
        id=name,
        inputs=image,
        target=label,
        split=split_by_hash(image.tobytes(), config.validation_fraction, config.test_fraction),
        file=file,
        metadata={"brightness": image.mean(), "contrast": image.std(), "bytes": size},
    )
