"""The combinations of answers that are tested, read from the catalogue."""

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

CODE_QUESTIONS = (
    "stage",
    "starter",
    "config",
    "tracker",
    "checkpoint",
    "checkpoint_writer",
    "devices",
)
"""The questions that select code; the others change a line or a file."""


def is_valid(answers: Mapping[str, str], catalogue: Any = CATALOGUE) -> bool:
    """Whether no option conflicts with another; answers may be missing."""
    chosen = [q.option(answers[q.name]) for q in catalogue.questions if q.name in answers]
    return not any(
        answers.get(question) in reasons
        for option in chosen
        for question, reasons in option.conflicts.items()
    )


def covering(names: Sequence[str] = tuple(CHOICES), catalogue: Any = CATALOGUE) -> list[Answers]:
    """Pairwise coverage: few combinations that contain every pair of answers to these questions."""
    values = {**CHOICES, **{question.name: question.values for question in catalogue.questions}}

    def row_is_valid(row: Sequence[str]) -> bool:
        return is_valid(dict(zip(names, row, strict=False)), catalogue)

    columns = [list(values[name]) for name in names]
    rows: Any = AllPairs(columns, filter_func=row_is_valid)
    return [{**DEFAULTS, **dict(zip(names, row, strict=True))} for row in rows]


def each_once(catalogue: Any = CATALOGUE) -> list[Answers]:
    """Still fewer combinations, which contain every answer at least once."""
    values = {**CHOICES, **{question.name: question.values for question in catalogue.questions}}
    asked = {question.name for question in catalogue.questions}
    for question in CATALOGUE.questions:
        if question.name not in asked:  # by that release
            values[question.name] = (DEFAULTS[question.name],)
    columns = {name: itertools.cycle(options) for name, options in values.items()}
    count = max(len(options) for options in values.values())
    rows = [
        {**DEFAULTS, **{name: next(column) for name, column in columns.items()}}
        for _ in range(count)
    ]
    return [row for row in rows if is_valid(row, catalogue)]


@functools.cache
def catalogue_of(release: Release) -> Any:
    """The catalogue of a release; EARLIER has that of the working tree."""
    if release.version == EARLIER:
        return CATALOGUE
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalogue.py"
        text = git(ROOT, "show", f"{release.commit}:extensions/catalogue.py")
        file.write_text(text, encoding="utf-8")
        return load(file, f"catalogue_{release.commit}").CATALOGUE


def title(answers: Answers) -> str:
    """The name of a combination, for tests and folders."""
    return "-".join(answers[name] for name in CHOICES)


COMBINATIONS: Mapping[str, Answers] = {title(answers): answers for answers in covering()}
"""Every pair of answers. tests/test_render.py checks that no file depends on more than two."""
