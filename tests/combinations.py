"""The projects that a person can ask for, read from the catalogue."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from allpairspy import AllPairs  # pyright: ignore[reportMissingTypeStubs]
from rendering import ROOT, extension, load
from repository import EARLIER, Release, git

Answers = dict[str, str]

CATALOGUE = extension("catalogue").CATALOGUE

CHOICES: Mapping[str, Sequence[str]] = {
    **{question.name: question.values for question in CATALOGUE.questions},
    "python_version": extension("blueprint").PYTHON_VERSIONS,
}

DEFAULTS: Mapping[str, str] = {
    **{question.name: question.default for question in CATALOGUE.questions},
    "python_version": "3.11",
}

SHAPING = ("stage", "starter", "config", "tracker", "checkpoint", "checkpoint_writer")
"""The questions that decide what runs; the others change a line or a file."""


def fits(answers: Mapping[str, str], catalogue: Any = CATALOGUE) -> bool:
    """Whether no option conflicts with another; answers may be missing."""
    chosen = [q.option(answers[q.name]) for q in catalogue.questions if q.name in answers]
    return not any(
        answers.get(other) in named
        for option in chosen
        for other, named in option.conflicts.items()
    )


def every() -> list[Answers]:
    """Every combination of the shaping questions, the defaults elsewhere."""
    products = itertools.product(*(CHOICES[name] for name in SHAPING))
    answers = [{**DEFAULTS, **dict(zip(SHAPING, each, strict=True))} for each in products]
    return [each for each in answers if fits(each)]


def covering(names: Sequence[str] = tuple(CHOICES), catalogue: Any = CATALOGUE) -> list[Answers]:
    """Few combinations in which every two answers to these questions meet."""
    offered = {**CHOICES, **{question.name: question.values for question in catalogue.questions}}

    def row_fits(row: Sequence[str]) -> bool:
        return fits(dict(zip(names, row, strict=False)), catalogue)

    columns = [list(offered[name]) for name in names]
    rows: Any = AllPairs(columns, filter_func=row_fits)
    return [{**DEFAULTS, **dict(zip(names, row, strict=True))} for row in rows]


def each_once(catalogue: Any = CATALOGUE) -> list[Answers]:
    """Fewer still: projects in which every answer occurs, in no company in particular."""
    offered = {**CHOICES, **{question.name: question.values for question in catalogue.questions}}
    turns = {name: itertools.cycle(values) for name, values in offered.items()}
    most = max(len(values) for values in offered.values())
    rows = [{**DEFAULTS, **{name: next(turn) for name, turn in turns.items()}} for _ in range(most)]
    return [row for row in rows if fits(row, catalogue)]


@functools.cache
def catalogue_of(release: Release) -> Any:
    """The catalogue as a release had it; EARLIER has that of the working tree."""
    if release.version == EARLIER:
        return CATALOGUE
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalogue.py"
        text = git(ROOT, "show", f"{release.commit}:extensions/catalogue.py")
        file.write_text(text, encoding="utf-8")
        return load(file, f"catalogue_{release.commit}").CATALOGUE


def title(answers: Answers) -> str:
    """A combination as the name of a test and of a folder."""
    return "-".join(answers[name] for name in CHOICES)


COMBINATIONS: Mapping[str, Answers] = {
    title(each): each for each in (*covering(SHAPING), *covering())
}
"""What is looked at closely; that `every` combination is sound is a test of its own."""
