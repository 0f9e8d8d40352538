"""The README says what the catalogue says."""

from __future__ import annotations

from readme import with_table
from rendering import ROOT


def test_the_readme_states_the_choices_as_the_catalogue_does() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == with_table(text), "run `make golden`"
