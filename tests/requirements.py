"""Prints what any generated project needs, whatever the answers: `.venv-project` holds it all."""

from __future__ import annotations

from combinations import CATALOGUE

TESTED = [  # what an owner may bring
    "tokenizers>=0.21,<1",  # the language model's own seam
]

if __name__ == "__main__":
    stated = [*CATALOGUE.requirements, *CATALOGUE.development]
    for question in CATALOGUE.questions:
        for option in question.options:
            stated.extend(option.requirements)
    needed = {f"{each.name}{each.extras}{each.versions}" for each in stated}
    print(*sorted({*needed, *TESTED}), sep="\n")
