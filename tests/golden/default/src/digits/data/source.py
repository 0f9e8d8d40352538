# Yours: an update never touches this file.
"""Reads the images: your own, or scikit-learn's handwritten digits.

`data.path` names a folder with one subfolder per class, or a CSV or JSON file that lists images and
targets: images.py finds and decodes them. The 1,797 digits are from
https://archive.ics.uci.edu/dataset/80 (Alpaydin & Kaynak, 1998). To read anything else, rewrite the
four public functions.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np

from ..errors import DataError
from ..settings import DataConfig
from . import images
from .images import ImageFile
from .validation import Array, Example, Schema, Split, Unreadable, split_by_hash

DIGITS = "digits"


def schema(config: DataConfig) -> Schema:
    """Images are (size, size) or (size, size, 3) of uint8; a target is a class or a number."""
    if config.path == DIGITS:
        classes = tuple("0123456789")
    else:
        classes = images.classes_of(_find(config), config.task)
    return Schema(
        dtype="uint8",
        shape=(config.size, config.size, 3) if config.color else (config.size, config.size),
        low=0,
        high=255,
        classes=classes,
        target_dtype="int64" if classes else "float32",
    )


def read(config: DataConfig) -> Iterator[Example | Unreadable]:
    """All examples, one at a time."""
    if config.path == DIGITS:
        yield from _read_digits(config)
        return
    listed, classes = _find(config), schema(config).classes
    _report_ignored(Path(config.path), {image.path for image in listed})
    splits: set[Split] = {image.split for image in listed if image.split}
    for image in listed:
        target = classes.index(image.target) if classes else float(image.target)
        yield _read_image(image, config, target, splits)


def read_new(path: Path, config: DataConfig) -> Iterator[Example | Unreadable]:
    """New images without targets, for the command `predict`: one file, or all files in a folder."""
    root = path.parent if path.is_file() else path
    files = [path] if path.is_file() else images.image_files(path)
    _report_ignored(path, {*files})
    if not files:
        raise DataError(f"{path}: expected an image, or a folder with images")
    for file in files:
        image = ImageFile(path=file, id=file.relative_to(root).as_posix(), split="test")
        yield _read_image(image, config, None, {"test"})


def fingerprint(config: DataConfig) -> str:
    """Changes whenever the images or their targets change; the cache is named after it."""
    if config.path == DIGITS:
        return f"scikit-learn {version('scikit-learn')}"
    lists = [path for path in (Path(config.path), Path(config.split)) if path.is_file()]
    paths = [*lists, *(image.path for image in _find(config) if image.path.exists())]
    status = [(str(path), path.stat()) for path in paths]
    # The time of change, ctime, is new for a file that was replaced by one of the same size and
    # mtime; and also, for nothing, after chmod or on another machine.
    return repr([(path, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for path, s in status])


def _report_ignored(folder: Path, used: set[Path]) -> None:
    """A note or a thumbnail database among the images is none, but a misspelt suffix is a loss."""
    if others := [file for file in images.visible_files(folder) if file not in used]:
        count = f"{len(others)} files that aren't named as images, or in no folder of a class,"
        print(f"Warning: {count} were ignored, such as {others[0]}", file=sys.stderr)


def _find(config: DataConfig) -> list[ImageFile]:
    return images.find_images(Path(config.path), config.target, config.split)


def _read_image(
    image: ImageFile, config: DataConfig, target: float | None, splits: set[Split]
) -> Example | Unreadable:
    path = image.path
    if path.exists() and path.stat().st_size == 0:  # opening a pipe would wait for ever
        return Unreadable(image.id, "an empty file, a pipe or a device", str(path))
    try:
        pixels, key, frames = images.decode(path, config.size, config.color)
    except Exception as error:  # decoders raise anything
        problem = f"can't be decoded as an image ({type(error).__name__}: {error})"
        return Unreadable(image.id, problem.replace(f" {str(path)!r}", ""), str(path))

    warning = "only the first frame is used" if frames > 1 else ""
    if pixels.std() < 1:
        warning = "almost no contrast"
    metadata = {"brightness": pixels.mean(), "contrast": pixels.std()}
    return Example(
        id=image.id,
        inputs=pixels,
        target=target,
        split=_split(image, key, config, splits),
        group=image.group,
        file=str(path),
        warning=warning,
        metadata={**metadata, "bytes": path.stat().st_size},
    )


def _split(image: ImageFile, key: bytes, config: DataConfig, splits: set[Split]) -> Split:
    """The split that is given. Otherwise by hash, so that images that look the same share one."""
    if image.split in ("validation", "test"):
        return image.split
    # What no folder or column names is taken from the training examples.
    validation_fraction = 0.0 if "validation" in splits else config.validation_fraction
    test_fraction = 0.0 if "test" in splits else config.test_fraction
    return split_by_hash(image.group.encode() or key, validation_fraction, test_fraction)


def _read_digits(config: DataConfig) -> Iterator[Example]:
    from PIL import Image
    from sklearn.datasets import load_digits  # slow to import, and not needed with a cache

    scans, labels = cast("tuple[Array, Array]", load_digits(return_X_y=True))
    named = images.splits_by_id(config.split)
    for row, (scan, label) in enumerate(zip(scans, labels, strict=True)):
        digit = np.rint(scan.reshape(8, 8) * (255 / 16)).astype(np.uint8)
        image = Image.fromarray(digit).convert("RGB" if config.color else "L")
        pixels = np.asarray(image.resize((config.size, config.size)))
        id_ = f"digit-{row:04d}"
        listed = ImageFile(path=Path(), id=id_, split=named.get(id_))
        yield Example(
            id=id_,
            inputs=pixels,
            target=int(label),
            split=_split(listed, digit.tobytes(), config, set(named.values())),
            metadata={"brightness": pixels.mean(), "contrast": pixels.std()},
        )
