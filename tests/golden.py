"""Two whole generated projects, kept as trees: a change of the template shows what it changes.

`python tests/golden.py` (or `make golden`) writes them afresh.
"""

from __future__ import annotations

import difflib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from rendering import copy_template, render

GOLDEN = Path(__file__).with_name("golden")

PROJECTS: Mapping[str, Mapping[str, str]] = {
    "default": {
        "project_name": "Digits",
        "package_name": "digits",
        "author_name": "Ada Lovelace",
        "author_email": "ada@host.example",
        "started": "2026-11-24",
    },
    "most": {
        "project_name": 'Ada\'s "Iris" 🌸',
        "package_name": "iris",
        "description": "Tells three kinds of iris apart.",
        "author_name": "Ada Lovelace",
        "stage": "production",
        "starter": "blank",
        "config": "dataclass",
        "tracker": "mlflow",
        "checkpoint": "interval",
        "checkpoint_writer": "background",
        "license": "Apache-2.0",
        "started": "2026-11-24",
    },
}

LINES = 12  # of a diff that are shown


def make(template: Path, name: str, destination: Path) -> Path:
    """Render one of the projects, without the lines that tell where and when it was made."""
    render(template, destination, **PROJECTS[name])
    answers = destination / ".copier-answers.yml"
    volatile = r"(?m)^_(commit|src_path): .*\n"
    text = answers.read_text(encoding="utf-8")
    answers.write_text(re.sub(volatile, "", text), encoding="utf-8", newline="")
    return destination


def differences(kept: Path, made: Path) -> Iterator[str]:
    """What the kept tree lacks, what it has too much, and where its files differ."""
    old, new = _contents(kept), _contents(made)
    for name in sorted(new.keys() - old.keys()):
        yield f"missing: {name}"
    for name in sorted(old.keys() - new.keys()):
        yield f"stale: {name}"
    for name in sorted(name for name in old.keys() & new.keys() if old[name] != new[name]):
        before, after = old[name].splitlines(), new[name].splitlines()
        diff = list(difflib.unified_diff(before, after, "kept", "made", lineterm="", n=1))
        more = [f"… {len(diff) - LINES} lines more"] if len(diff) > LINES else []
        yield "\n".join([f"changed: {name}", *diff[:LINES], *more])


def _contents(folder: Path) -> dict[str, str]:
    """Every file of a tree by its path; bytes that aren't text are spelt out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().decode(errors="backslashreplace")
        for path in folder.rglob("*")
        if path.is_file()
    }


def main() -> None:
    """Write both trees afresh."""
    with tempfile.TemporaryDirectory() as temporary:
        template = copy_template(Path(temporary))
        for name in PROJECTS:
            shutil.rmtree(GOLDEN / name, ignore_errors=True)
            print(make(template, name, GOLDEN / name))


if __name__ == "__main__":
    main()
