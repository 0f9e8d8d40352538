"""Every file of the template and every alternative is strictly typed, whatever the stage.

They can't be checked where they stand, since they are put together only when a project is rendered.
So a few projects in which each alternative occurs are checked at once, which takes a sixth of the
time of one by one; what is wrong is said about the template's own file.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from combinations import CHOICES
from rendering import ROOT, render
from test_projects import ENVIRONMENT

pytestmark = pytest.mark.skipif(
    not ENVIRONMENT.exists(), reason=f"{ENVIRONMENT} isn't there: make check creates it"
)


def covering() -> list[dict[str, str]]:
    """As few projects as it takes for every alternative to occur in one of them."""
    most = max(len(values) for values in CHOICES.values())
    columns = [itertools.islice(itertools.cycle(values), most) for values in CHOICES.values()]
    return [dict(zip(CHOICES, row, strict=True)) for row in zip(*columns, strict=True)]


def origin(file: Path, project: Path) -> str:
    """The template's file that a generated file was made of, as far as that can be told."""
    content = file.read_bytes()
    for folder in ("choices", "template"):
        for each in sorted((ROOT / folder).rglob("*.py")):
            if each.read_bytes() == content:
                return str(each.relative_to(ROOT))
    name = str(file.relative_to(project))
    for package in (project / "src").iterdir():
        name = name.replace(f"src/{package.name}/", "src/{{ package_name }}/")
    return f"template/{name}.jinja"


def test_every_alternative_is_strictly_typed(template: Path, tmp_path: Path) -> None:
    production = render(template, tmp_path / "production", stage="production")
    stated = tomllib.loads((production / "pyproject.toml").read_text(encoding="utf-8"))
    settings: dict[str, Any] = stated["tool"]["pyright"]
    roots: list[dict[str, Any]] = []
    for number, answers in enumerate(covering()):
        folder = f"project{number}"
        render(template, tmp_path / folder, **answers)
        roots.append({"root": folder, "extraPaths": [f"{folder}/src"]})
    settings["include"] = [
        f"{each['root']}/{folder}" for each in roots for folder in settings["include"]
    ]
    settings["executionEnvironments"] = roots
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps(settings), encoding="utf-8")

    python = str(ENVIRONMENT / "bin" / "python")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", python]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    report = json.loads(done.stdout)

    assert report["summary"]["filesAnalyzed"] > 0, done.stdout
    found: dict[str, Path] = {}  # what is said, and one of the files of which it is true
    for each in report["generalDiagnostics"]:
        file = Path(each["file"])
        project = tmp_path / file.relative_to(tmp_path).parts[0]
        line = each["range"]["start"]["line"] + 1
        said = f"{origin(file, project)}:{line} {each['message']} ({each.get('rule', '')})"
        found.setdefault(said, file.relative_to(project))
    lines = [f"{said}, seen in {file}" for said, file in sorted(found.items())]
    assert not lines, "\n".join(lines)
