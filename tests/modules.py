"""Writes extensions/modules.txt: what a project's environment may contain, by the names of imports.

A package with such a name would be shadowed, or shadow what a dependency imports. These are the
pinned packages and the installers. Run with `make golden`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

from rendering import ROOT

FILE = ROOT / "extensions/modules.txt"

INSTALLERS = ("editables", "hatchling", "pathspec", "pip", "setuptools", "trove-classifiers", "uv")
"""With what they need themselves, and nothing pins."""

PREFIXED = ("functorch", "nvidia", "pkg_resources", "torchgen", "triton", "wheel")
"""Modules that come with builds for other machines, or with other versions."""

# Runs in each environment. Some packages are installed in only one.
IMPORTED = """
import json, sys
from importlib.metadata import packages_distributions
print(json.dumps(packages_distributions()))
"""


def packages() -> set[str]:
    """The normalized names of all pinned packages and of the installers."""
    files = [ROOT / "tests/constraints.txt", *(ROOT / "choices/constraints").glob("*.txt")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    pinned = [line.partition("==")[0] for line in lines if not line.startswith("#")]
    return {as_module(name) for name in (*pinned, *INSTALLERS)}


def modules() -> list[str]:
    """The names of all of these packages and of what is imported from them."""
    wanted = packages()
    names = {*wanted, *PREFIXED}
    for python in (sys.executable, ROOT / ".venv-project/bin/python"):
        done = subprocess.run([python, "-c", IMPORTED], capture_output=True, text=True, check=True)
        for module, distributions in json.loads(done.stdout).items():
            if wanted & set(map(as_module, distributions)):
                names.add(module.lower())
    return sorted(name for name in names if re.fullmatch(r"[a-z][a-z0-9_]*(?<!__mypyc)", name))


def as_module(package: str) -> str:
    """The name of a package as a module would have it."""
    return re.sub(r"[-_.]+", "_", package).lower()


if __name__ == "__main__":
    FILE.write_text("".join(f"{name}\n" for name in modules()), encoding="utf-8")
