"""The text of a project's files, by line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .findings import Place

LINE_BREAK = re.compile(r"\r\n|\r|\n")  # Python's; str.splitlines also breaks at form feeds


@dataclass(frozen=True)
class Sources:
    """The text of every file that was read, by its path."""

    texts: Mapping[str, str]
    _lines: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def lines(self, path: str) -> list[str]:
        """The lines of a file; none if it wasn't read."""
        if path not in self._lines:
            self._lines[path] = LINE_BREAK.split(self.texts.get(path, ""))
        return self._lines[path]

    def code(self, place: Place) -> str:
        """The line of a place, with single spaces."""
        lines = self.lines(place.path)
        return " ".join(lines[place.line - 1].split()) if 0 < place.line <= len(lines) else ""
