"""`ml-architect review` in a project of a few files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ml_architect.cli import main

ANSWERS = "_src_path: here\nstarter: image\nstage: {stage}\n"
UNDEFINED = "def average(losses):\n    return sum(losses) / len(loses)\n"
DEFAULT = "def collect(loss, losses=[]):\n    losses.append(loss)\n    return losses\n"


class Review:
    """A project, and the command in it, by default with every rule."""

    options: tuple[str, ...] = ("--select=ML",)

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        self.out = self.err = ""

    def write(self, **contents: str) -> None:
        """Write files by their names without `.py`."""
        for name, text in contents.items():
            (self.root / f"{name}.py").write_text(text, encoding="utf-8")

    def settings(self, text: str) -> None:
        """Write the project's settings."""
        table = f"[tool.ml-architect.review]\n{text}\n"
        (self.root / "pyproject.toml").write_text(table, encoding="utf-8")

    def __call__(self, *arguments: str | Path) -> int:
        given = [*map(str, arguments)]
        options = [] if any(one.startswith("--select") for one in given) else self.options
        code = main(["review", str(self.root), *options, *given])
        self.out, self.err = self.capsys.readouterr()
        assert "Traceback" not in self.out + self.err
        return code

    def found(self, *arguments: str | Path) -> list[dict[str, Any]]:
        """Findings and notes."""
        assert self(*arguments, "--format", "json") in (0, 1), self.err
        return json.loads(self.out)

    def ids(self, *arguments: str | Path) -> list[str]:
        """Ids of the findings that count, in order."""
        return [one["id"] for one in self.found(*arguments) if one["severity"] != "note"]

    def refused(self, *arguments: str | Path) -> str:
        """The one line that says why nothing was reviewed."""
        assert self(*arguments) == 2
        assert self.out == ""
        assert self.err.count("\n") == 1, self.err
        return self.err
