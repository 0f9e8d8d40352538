"""Notebooks: their code cells, without magics and outputs."""

from __future__ import annotations

import json
import re
from typing import Any

from .findings import Place
from .source import Module, UnreadableError, index, parse

MAGIC_VALUE = re.compile(r"[\w, ]+=\s*[!%]\s*\w|[\w.]+\?+$")


def read_notebook(path: str, data: bytes) -> Module:
    """Parse and index the code cells of a notebook; magics and outputs are left out."""
    try:
        text = data.decode()
        notebook: Any = json.loads(text)
        cells = {
            number: "".join(cell["source"])
            for number, cell in enumerate(notebook["cells"], 1)
            if cell["cell_type"] == "code"
        }
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnreadableError("not a notebook of format 4") from error

    code: list[str] = []
    places: list[Place] = []
    broken = 0
    position, line_of_file = 0, 1
    for number, source in cells.items():
        lines = without_magics(source)
        try:
            parse("\n".join(lines))
        except UnreadableError:
            broken += 1
            lines = ["" for _ in lines]
        for line_of_cell, original in enumerate(source.splitlines(), 1):
            # The line of the JSON file, for other programs: the next one that holds this text.
            for is_ascii in (True, False):
                encoded = json.dumps(original, ensure_ascii=is_ascii)[1:-1]
                start = text.find(encoded, position) if original.strip() else -1
                if start >= 0:
                    line_of_file += text.count("\n", position, start)
                    position = start + len(encoded)
                    break
            places.append(Place(path, line_of_file, cell=number, cell_line=line_of_cell))
        code += lines
    joined = "\n".join(code) + "\n"
    module = Module(path, joined, parse(joined), cells=cells, places=places or [Place(path, 1)])
    if broken:
        count = f"{broken} of {len(cells)} code cells"
        module.left_out = f"{count} can't be parsed; the others were read"
    index(module)
    return module


def without_magics(source: str) -> list[str]:
    """Lines of a cell; magics become `pass`, a cell in another language is emptied."""
    lines = source.splitlines()
    if source.lstrip().startswith("%%"):
        first = source.split(None, 1)[0]
        if first not in ("%%time", "%%timeit", "%%capture"):
            return ["" for _ in lines]
    kept: list[str] = []
    is_continued = False
    for line in lines:
        bare = line.lstrip()
        was_continued = is_continued
        is_magic = was_continued or bare.startswith(("%", "!", "?")) or MAGIC_VALUE.match(bare)
        is_continued = bool(is_magic) and line.rstrip().endswith("\\")
        if is_magic:
            # Continued lines are indented as the author likes: they become empty.
            kept.append("" if was_continued else f"{line[: len(line) - len(bare)]}pass")
        else:
            kept.append(line)
    return kept
