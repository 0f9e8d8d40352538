# The template's: updates improve this file and keep your edits.
"""Cuts text files into documents, and decodes them."""

import codecs
import glob
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from io import TextIOWrapper
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

from ..errors import DataError
from .validation import Unreadable

FEW_FILES = 20  # with fewer, a file isn't a document: the splits would have one or two, or none
FEW_DOCUMENTS = 100  # with fewer, a text isn't cut at its blank lines
SMALLEST_BLOCK = 1 << 10  # bytes
LARGEST_BLOCK = 1 << 13

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Document(NamedTuple):
    id: str
    text: bytes  # UTF-8
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a document ends and another one begins, and how to decode it."""

    documents: Literal["auto", "file", "separator", "block"] = "file"
    separator: str = ""  # a line; empty for a blank one
    encoding: str = "utf-8"  # of files that aren't UTF-8 and have no byte order mark
    block: int = LARGEST_BLOCK  # bytes, at least
    remark: str = ""  # for `validate`, about a layout that nobody has asked for

    def __post_init__(self) -> None:
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError) as error:
            raise DataError(f"data.encoding = {self.encoding!r}: {error}") from None


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
    raise DataError(f"{error.filename}: {error.strerror}; expected a folder that can be read")


def matches(pattern: str) -> list[Path]:
    """The visible files that a pattern such as "corpus/**/*.txt" names, sorted."""
    start, stars, end = f"{pattern}/".partition("**/")
    if "**" in end:
        raise DataError(f"data.path = {pattern!r}: has ** twice; expected it once")
    # Unlike Path.glob, glob.glob ignores what is hidden; but it follows links in circles.
    paths = map(Path, glob.glob((start or ".") if stars else pattern))  # noqa: PTH207
    if not stars:
        return sorted(path for path in paths if not path.is_dir())
    end = end.strip("/") or "*"
    below = [(folder, file) for folder in paths for file in visible_files(folder)]
    return sorted({file for folder, file in below if file.relative_to(folder).match(end)})


def choose_layout(layout: Layout, files: Sequence[Path]) -> Layout:
    """In place of "auto", what suits the files."""
    # A small text is cut into about a hundred blocks, so that each split has some.
    sizes = [path.stat().st_size for path in files if path.is_file()]
    block = min(max(sum(sizes) // FEW_DOCUMENTS, SMALLEST_BLOCK), LARGEST_BLOCK)
    layout = replace(layout, block=block)
    if layout.documents != "auto":
        return layout
    if layout.separator:
        return replace(layout, documents="separator")
    is_json = all(path.suffix == ".jsonl" for path in files)
    if len(files) >= FEW_FILES or max(sizes, default=0) <= block or is_json:
        return replace(layout, documents="file")

    remark = "A document is what is between two blank lines; data.documents changes that."
    blank_line = replace(layout, documents="separator", remark=remark)
    count, length = 0, 0
    for path in files:
        for document in read_documents(path, path.name, blank_line):
            if isinstance(document, Document):
                count += 1
                length += len(document.text)
    if count >= FEW_DOCUMENTS and length >= count * SMALLEST_BLOCK:
        return blank_line

    # Paragraphs that are shorter on average, such as the lines of a play, belong together.
    remark = f"A document is a block of about {block} bytes; data.documents changes that."
    return replace(layout, documents="block", remark=remark)


def read_documents(path: Path, name: str, layout: Layout) -> Iterator[Document | Unreadable]:
    """The documents of a file, one at a time. In JSON Lines, each line is one.

    Args:
        path: of the file.
        name: of the file, for the ids.
        layout: not "auto".
    """
    if not path.is_file():  # opening a pipe would wait for ever
        yield Unreadable(name, "a link to nothing, a pipe or a device", str(path))
        return
    is_json = path.suffix == ".jsonl"
    previous = 0
    part = 1
    encoding = _detect_encoding(path, layout.encoding)
    with path.open("rb") as binary, TextIOWrapper(binary, encoding, newline="\n") as file:
        try:
            for number, text in _read_json_lines(file) if is_json else _cut(file, layout):
                if text is not None and not text.strip():
                    continue
                id_ = name
                if is_json or layout.documents != "file":
                    id_ += f", line {number}"
                part = part + 1 if number == previous else 1
                if part > 1:  # of a line that is longer than a block
                    id_ += f", part {part}"
                previous = number
                if text is None:
                    yield Unreadable(id_, 'isn\'t JSON such as {"text": "…"}', str(path))
                elif "\0" in text:
                    yield Unreadable(id_, f"has a zero byte; {_advice(path, 0)}", str(path))
                    return
                else:
                    yield Document(id_, text.encode(), str(path))
        except UnicodeDecodeError as error:
            # What couldn't be decoded ends where the file was read up to.
            position = binary.tell() - len(error.object) + error.start
            yield Unreadable(name, _describe_byte(path, position, error.encoding), str(path))
            return
    if previous == 0:
        yield Unreadable(name, "an empty file", str(path))


def _read_json_lines(file: TextIO) -> Iterator[tuple[int, str | None]]:
    """The field `text` of each line, with the line's number; None if there is none."""
    for number, line in enumerate(file, start=1):
        try:
            text = json.loads(line)["text"] if line.strip() else ""
            text.encode()  # JSON can have half of a character
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            text = None
        yield number, text


def _cut(file: TextIO, layout: Layout) -> Iterator[tuple[int, str]]:
    """Documents, some of which may be empty, each with the number of its first line."""
    is_block = layout.documents == "block"
    longest = layout.block if is_block else -1  # a text may be a single line
    lines: list[str] = []
    size = 0
    first = number = 1
    while line := file.readline(longest):
        number += line.endswith("\n")
        is_separator = layout.documents == "separator" and line.strip() == layout.separator
        if not is_separator:
            lines.append(line)
            size += len(line.encode())
        if is_separator or (is_block and size >= layout.block):
            yield first, "".join(lines)
            lines = []
            size = 0
            first = number
    yield first, "".join(lines)


def _detect_encoding(path: Path, encoding: str) -> str:
    """What the byte order mark says; or UTF-8, if all is valid UTF-8; or else the given one."""
    with path.open("rb") as file:
        beginning = file.read(3)
    for mark, marked_encoding in BYTE_ORDER_MARKS.items():
        if beginning.startswith(mark):
            return marked_encoding

    # Text in another encoding isn't valid UTF-8 by chance, unless all of its bytes are ASCII.
    if encoding != "utf-8":
        with suppress(UnicodeDecodeError), path.open(encoding="utf-8", newline="\n") as file:
            if sum(not line.isascii() for line in file):
                return "utf-8"
    return encoding


def _describe_byte(path: Path, position: int, encoding: str) -> str:
    """Where the byte is that can't be decoded, and what to do."""
    with path.open("rb") as file:
        line = file.read(position).count(b"\n") + 1
        byte = file.read(1).hex()
    place = f"line {line}, byte {position} (0x{byte})"
    return f"{place} isn't {encoding.upper()}; {_advice(path, position)}"


def _advice(path: Path, position: int) -> str:
    """How to read or to convert a file, with a guess of its encoding from what follows there."""
    with path.open("rb") as file:
        file.seek(position - position % 2)
        sample = file.read(4096)

    # In UTF-16, every other byte of what is in ASCII too is zero. Japanese has kana.
    encoding = "cp1252"  # Western Europe's
    even_zeros = sample[::2].count(0)
    odd_zeros = sample[1::2].count(0)
    if even_zeros or odd_zeros:
        if max(even_zeros, odd_zeros) < 3 * min(even_zeros, odd_zeros):
            return "a binary file: remove it"
        encoding = "utf-16le" if odd_zeros > even_zeros else "utf-16be"
    else:
        for japanese in ("euc-jp", "shift_jis"):
            text = sample.decode(japanese, errors="ignore")
            if encoding == "cp1252" and len(re.findall("[\u3041-\u30ff]", text)) > 2:
                encoding = japanese
    return (
        f"if it is {encoding}, set data.encoding to that, or convert it: "
        f"iconv -f {encoding} -t utf-8 {shlex.quote(str(path))} > converted.txt"
    )
