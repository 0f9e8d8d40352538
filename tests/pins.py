"""Writes choices/constraints/: the versions that a production project pins, which are those tested.

For each set of requirements in the catalogue, these are its packages and their dependencies, in the
versions of `.venv-project`. Run with `make golden`.
"""

import json
import subprocess
from collections.abc import Iterable

from combinations import CATALOGUE
from rendering import ROOT

FOLDER = ROOT / "choices/constraints"

# Runs in .venv-project, where the packages are installed. Platform-specific ones aren't pinned.
RESOLVE = """
import json, sys
from importlib.metadata import PackageNotFoundError, distribution
from packaging.requirements import Requirement

def visit(requirement, pins, seen):
    if (str(requirement.name), tuple(requirement.extras)) in seen:
        return
    seen.add((str(requirement.name), tuple(requirement.extras)))
    try:
        package = distribution(requirement.name)
    except PackageNotFoundError:
        return
    pins[package.name.lower()] = package.version.partition("+")[0]
    for text in package.requires or ():
        needed = Requirement(text)
        extras = [*requirement.extras, ""]
        if not needed.marker or any(needed.marker.evaluate({"extra": e}) for e in extras):
            visit(needed, pins, seen)

result = {}
for name, requirements in json.load(sys.stdin).items():
    result[name] = {}
    for text in requirements:
        visit(Requirement(text), result[name], set())
print(json.dumps(result))
"""


def requirement_sets() -> dict[str, Iterable[str]]:
    """The requirements of every project, and of each option that has any."""
    sets = {"project": CATALOGUE.requirements, "development": CATALOGUE.development}
    for question in CATALOGUE.questions:
        for option in question.options:
            sets[f"{question.name}-{option.value}"] = option.requirements
    return {
        name: [f"{r.name}{r.extras}{r.versions}" for r in requirements]
        for name, requirements in sets.items()
        if requirements
    }


def pins() -> dict[str, str]:
    """The content of each file, by name."""
    result = subprocess.run(
        [ROOT / ".venv-project/bin/python", "-c", RESOLVE],
        input=json.dumps(requirement_sets()),
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        f"{name}.txt": "".join(f"{package}=={versions[package]}\n" for package in sorted(versions))
        for name, versions in json.loads(result.stdout).items()
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for name, text in pins().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
