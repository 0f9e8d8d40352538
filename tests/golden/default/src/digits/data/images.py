# The template's: updates improve this file and keep your edits.
"""Finds images with their targets and splits, and decodes them.

Images are in one folder per class, or listed in a CSV or JSON file with a column of file names.
"""

import csv
import json
import os
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError, did_you_mean
from .validation import Array, Split

SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of folders, and cells of a column, that name a split."""

FILE_COLUMNS = ("file", "file_name", "filename", "image", "path", "id")
BACKGROUND = "white"  # of transparent images
DECODED = 512  # pixels: a JPEG file of photographic size is decoded at about this size
MAX_CLASSES = 50  # a target with more distinct integers is a number

Image.init()
_FORMATS = "JPEG PNG TIFF BMP DIB GIF WEBP AVIF JPEG2000 ICO PCX PPM PSD QOI SGI SUN TGA"
FORMATS = [name for name in _FORMATS.split() if name in Image.OPEN]  # not each Pillow has all
"""All that is decoded. For PostScript, whatever its suffix, Pillow would run Ghostscript."""

# Pillow refuses an image from 179 million pixels on; until then, it would warn.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    path: Path
    id: str  # relative to the folder with the images
    target: str = ""  # the name of a class, or a number
    split: Split | None = None  # None: by hash
    group: str = ""


def find_images(path: Path, target: str, split: str) -> list[ImageFile]:
    """
    Args:
        path: a folder with one subfolder per class, in folders named after splits or not; or a CSV
            or JSON file that lists images.
        target: the column of that file with the target.
        split: "auto", "hash", a column of that file, or a CSV file with the columns id and split.

    Raises:
        DataError: there are no images, or no such column.
    """
    if path.is_file():
        images = _listed(path, target, split)
    elif path.is_dir():
        images = _in_folders(path, by_split=split != "hash")
    else:
        raise DataError(
            f"data.path = '{path}': doesn't exist; expected a folder with one subfolder of images "
            "per class, a CSV or JSON file that lists images, or 'digits'"
        )
    if named := splits_by_id(split):
        missing = [image.id for image in images if image.id not in named]
        if missing:
            raise DataError(f"{split}: no split for {len(missing)} images, such as {missing[0]}")
        images = [replace(image, split=named[image.id]) for image in images]
    return images


def splits_by_id(split: str) -> dict[str, Split]:
    """What a CSV file with the columns id and split says; empty if the setting is no such file."""
    if not split.endswith(".csv"):
        return {}
    rows = _read_rows(Path(split), ("id", "split"))
    return {row["id"]: _split_named(row["split"], f"{split}, id {row['id']}") for row in rows}


def image_files(folder: Path) -> list[Path]:
    """At any depth, sorted, without what is hidden and what isn't named as an image."""
    formats = Image.registered_extensions()
    return [file for file in visible_files(folder) if formats.get(file.suffix.lower()) in FORMATS]


def visible_files(folder: Path) -> list[Path]:
    """At any depth, sorted, without what is hidden; links to nothing too, for the caller to name.

    Links are followed, and a folder that several lead to is visited once.
    """
    files: list[Path] = []
    visited = set(map(str, Path(os.path.realpath(folder)).parents))
    for parent, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        is_new = os.path.realpath(parent) not in visited
        visited.add(os.path.realpath(parent))
        folders[:] = sorted(name for name in folders if is_new and name[0] != ".")
        files += [Path(parent, name) for name in names if is_new and name[0] != "."]
    return sorted(files)


def _refuse(error: OSError) -> None:
    if not isinstance(error, NotADirectoryError):
        raise DataError(f"{error.filename}: {error.strerror}; expected a folder that can be read")


def _in_folders(root: Path, by_split: bool) -> list[ImageFile]:
    folders = _subfolders(root)
    lists = sorted(path for path in root.glob("*.*") if path.suffix in (".csv", ".json"))
    if lists and len(folders) < 2:
        expected = f"expected two or more, one per class, or the list itself: {lists[0]}"
        raise DataError(f"data.path = '{root}': {len(folders)} folders; {expected}")
    names = {folder.name.lower() for folder in folders}
    splits: dict[Path, Split | None] = {root: None}
    if by_split and "train" in {SPLITS.get(name) for name in names} and names <= SPLITS.keys():
        splits = {folder: SPLITS[folder.name.lower()] for folder in folders}

    images: list[ImageFile] = []
    for parent, split in splits.items():
        for folder in _subfolders(parent):
            files = image_files(folder)
            if not files:
                raise DataError(f"{folder}: no images; add some or remove the folder")
            for file in files:
                id_ = file.relative_to(root).as_posix()
                images.append(ImageFile(path=file, id=id_, target=folder.name, split=split))
    if not images:
        found = f"{len(image_files(root))} images, but no folder per class"
        raise DataError(
            f"data.path = '{root}': {found}; expected one subfolder of images per class, or the "
            "path of a CSV or JSON file that lists the images and their targets"
        )
    return images


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _listed(path: Path, target: str, split: str) -> list[ImageFile]:
    rows = _read_rows(path, ())
    columns = [name for name in rows[0] if all(name in row for row in rows)]
    file_column = next((name for name in FILE_COLUMNS if name in columns), None)
    if file_column is None:
        raise DataError(f"{path}: no column {' or '.join(FILE_COLUMNS)}; it has {columns}")
    wanted = [target] if split in ("auto", "hash") or split.endswith(".csv") else [target, split]
    for name in wanted:
        if name not in columns:
            near = did_you_mean(name, columns)
            raise DataError(f"{path}: no column {name}{near} (columns: {', '.join(columns)})")
    split_column = "split" if split == "auto" and "split" in columns else split

    # Names are relative to the list, or those of files in any folder beside it.
    by_name: dict[str, Path] = {}
    for file in image_files(path.parent):
        by_name.setdefault(file.name, file)
    images: list[ImageFile] = []
    for row in rows:
        name = row[file_column]
        file = path.parent / name
        if not file.is_file():
            file = by_name.get(Path(name).name, file)
        image = ImageFile(path=file, id=name, target=row[target], group=row.get("group", ""))
        if split_column in columns:
            named = _split_named(row[split_column], f"{path}, column {split_column}, {name}")
            image = replace(image, split=named)
        images.append(image)
    return images


def _read_rows(path: Path, required: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a CSV or JSON file. JSON is a list of objects, or targets by file name."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("a pipe, a device or a folder")
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            content: Any = json.loads(text)
            if isinstance(content, dict):
                content = [{"file": name, "label": label} for name, label in content.items()]
            rows = [{name: str(cell) for name, cell in row.items()} for row in content]
        else:
            delimiter = max(",;\t|", key=text.partition("\n")[0].count)
            reader = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter)
            rows = [dict(row) for row in reader]
            names = reader.fieldnames or []
            if len({*names}) < len(names) or any(None in (*row, *row.values()) for row in rows):
                raise ValueError("two columns of one name, or a row with too many or too few cells")
    except (OSError, ValueError, AttributeError, TypeError, csv.Error, RecursionError) as error:
        raise DataError(f"{path}: can't be read ({error}); expected CSV or JSON in UTF-8") from None
    if not rows or not set(required) <= rows[0].keys():
        expected = f"rows with the columns {', '.join(required)}" if required else "rows"
        raise DataError(f"{path}: expected {expected}")
    return rows


def _split_named(name: str, where: str) -> Split:
    split = SPLITS.get(name.strip().lower())
    if split is None:
        raise DataError(f"{where}: the split {name!r}; expected one of {', '.join(SPLITS)}")
    return split


def classes_of(images: list[ImageFile], task: str) -> tuple[str, ...]:
    """Names of the classes; empty if the target is a number.

    With the task "auto", a target is a number if it has decimals, or many distinct integers.

    Raises:
        DataError: the task is regression, and a target isn't a number.
    """
    counts = Counter(image.target for image in images)
    try:
        numbers = {name: float(name) for name in counts}
    except ValueError as error:
        if task == "regression":
            raise DataError(f"data.task = 'regression': {error}; expected numbers") from None
        return tuple(sorted(counts))
    are_classes = all(n.is_integer() for n in numbers.values()) and len(numbers) <= MAX_CLASSES
    if task == "regression" or (task == "auto" and not are_classes):
        return ()
    return tuple(sorted(counts, key=lambda name: numbers[name]))


def decode(path: Path, size: int, color: bool) -> tuple[Array, bytes, int]:
    """Decode the first frame, upright, resize it and crop its center.

    Returns:
        The pixels as uint8, (size, size) or (size, size, 3); a key that is equal for images that
        look the same, whatever the size; and the number of frames.

    Raises:
        Exception: it can't be decoded (decoders raise anything), or its values can't be scaled.
    """
    with Image.open(path, formats=FORMATS) as opened:
        frames = getattr(opened, "n_frames", 1)
        opened.draft("RGB", (max(size, DECODED), max(size, DECODED)))  # large JPEGs: much faster
        image = ImageOps.exif_transpose(_to_8_bits(opened))
        if image.has_transparency_data:
            opaque = Image.new("RGBA", image.size, BACKGROUND)
            image = Image.alpha_composite(opaque, image.convert("RGBA"))
        thumbnail = ImageOps.fit(image.convert("L"), (16, 16))
        pixels = ImageOps.fit(image.convert("RGB" if color else "L"), (size, size))
    return np.asarray(pixels), thumbnail.tobytes(), frames


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale integers of more bits by what they can hold; Pillow would cut them off at 255."""
    if image.mode == "F":
        values = np.asarray(image)
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"float values from {low:g} to {high:g}, expected 0 to 1")
        return Image.fromarray(np.rint(values * 255).astype(np.uint8))
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8))
    if image.mode == "I":
        raise ValueError("integers of 32 bits, of which the largest is unknown; convert it to 16")
    return image
