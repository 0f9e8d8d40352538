"""The text of a project's files and notebooks' cells, by line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .findings import Place

LINE_BREAK = re.compile(r"\r\n|\r|\n")  # Python's; str.splitlines also breaks at form feeds


@dataclass(frozen=True)
class Sources:
    """The text of everything that was read, by its path and cell."""

    texts: Mapping[tuple[str, int], str]
    _lines: dict[tuple[str, int], list[str]] = field(
        default_factory=dict[tuple[str, int], list[str]]
    )

    def lines(self, place: Place) -> list[str]:
        """The lines of a file or cell; none if it wasn't read."""
        key = (place.path, place.cell)
        if key not in self._lines:
            self._lines[key] = LINE_BREAK.split(self.texts.get(key, ""))
        return self._lines[key]

    def code(self, place: Place) -> str:
        """The line of a place, with single spaces."""
        lines, at = self.lines(place), place.cell_line or place.line
        return " ".join(lines[at - 1].split()) if 0 < at <= len(lines) else ""
