"""Prints the requirements of all generated projects, for `.venv-project`."""

from __future__ import annotations

from combinations import CATALOGUE

TESTED = [  # what an owner may use in addition
    "tokenizers>=0.21,<1",  # instead of the language model's tokenizer
    "transformers>=5,<6",  # test_worked_examples.py
    "nbclient>=0.10,<1",  # test_notebook.py
    "ipykernel>=6.29,<8",
]

if __name__ == "__main__":
    packages = [*CATALOGUE.requirements, *CATALOGUE.development]
    for question in CATALOGUE.questions:
        for option in question.options:
            packages.extend(option.requirements)
    lines = {f"{package.name}{package.extras}{package.versions}" for package in packages}
    print(*sorted({*lines, *TESTED}), sep="\n")
