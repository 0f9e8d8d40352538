"""Golden files: generated files under version control, so that a diff shows the effect of a change.

One whole project, and the files that Jinja composes in a project with other answers. All others are
copies of a file in choices/, whose own diff shows the change. `make golden` writes them.
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
    "production": {
        "project_name": 'Ada\'s "Iris" 🌸',
        "package_name": "iris",
        "description": "Tells three kinds of iris apart.",
        "author_name": "Ada Lovelace",
        "stage": "production",
        "starter": "tabular",
        "config": "dataclass",
        "tracker": "mlflow",
        "checkpoint": "interval",
        "checkpoint_writer": "background",
        "license": "Apache-2.0",
        "started": "2026-11-24",
    },
}

COMPOSED = (
    "README.md",
    "AGENTS.md",
    "pyproject.toml",
    ".copier-answers.yml",
    ".github/workflows/ci.yml",
    "Dockerfile",
)
"""The golden files of the second project."""

MAX_DIFF_LINES = 12


def render_golden(template: Path, name: str, destination: Path) -> Path:
    """Render a project, without the lines about the template's address and commit."""
    with tempfile.TemporaryDirectory() as folder:
        project = render(template, Path(folder) / "made", **PROJECTS[name])
        answers = project / ".copier-answers.yml"
        text = re.sub(r"(?m)^_(commit|src_path): .*\n", "", answers.read_text(encoding="utf-8"))
        answers.write_text(text, encoding="utf-8", newline="")
        if name == "default":
            return Path(shutil.copytree(project, destination))
        for path in COMPOSED:
            (destination / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(project / path, destination / path)
        return destination


def differences(golden: Path, rendered: Path) -> Iterator[str]:
    """The files that are missing in the golden folder, obsolete there, or different."""
    old, new = _contents(golden), _contents(rendered)
    for name in sorted(new.keys() - old.keys()):
        yield f"missing: {name}"
    for name in sorted(old.keys() - new.keys()):
        yield f"obsolete: {name}"
    for name in sorted(name for name in old.keys() & new.keys() if old[name] != new[name]):
        before, after = old[name].splitlines(), new[name].splitlines()
        diff = list(difflib.unified_diff(before, after, "golden", "rendered", lineterm="", n=1))
        more = len(diff) - MAX_DIFF_LINES
        rest = [f"… {more} more lines"] if more > 0 else []
        yield "\n".join([f"changed: {name}", *diff[:MAX_DIFF_LINES], *rest])


def _contents(folder: Path) -> dict[str, str]:
    """The files of a folder by their paths; bytes that aren't UTF-8 are escaped."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().decode(errors="backslashreplace")
        for path in folder.rglob("*")
        if path.is_file()
    }


def main() -> None:
    """Write all golden files."""
    with tempfile.TemporaryDirectory() as temporary:
        template = copy_template(Path(temporary))
        shutil.rmtree(GOLDEN, ignore_errors=True)
        for name in PROJECTS:
            print(render_golden(template, name, GOLDEN / name))


if __name__ == "__main__":
    main()
