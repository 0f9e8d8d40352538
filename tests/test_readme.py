"""The README's table is up to date."""

from __future__ import annotations

from readme import with_table
from rendering import ROOT


def test_the_readme_lists_the_choices_of_the_catalogue() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == with_table(text), "run `make golden`"
