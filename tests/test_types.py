"""Every file of the template and every alternative is strictly typed, whatever the stage.

Alternatives can't be checked in place, since their imports exist only in a rendered project. So a
few projects that contain all of them are checked together, which is much faster than one by one.
Errors are reported for the template's own file.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from combinations import CHOICES
from rendering import ROOT, render
from studies import ENVIRONMENT, PYTHON

pytestmark = pytest.mark.skipif(
    not ENVIRONMENT.exists(), reason=f"{ENVIRONMENT} doesn't exist: make check creates it"
)
OTHERS = ("tracker", "checkpoint", "checkpoint_writer", "devices")


def projects(config: str) -> list[dict[str, str]]:
    """The answers of a few projects that contain every alternative of this config style."""
    answers: list[dict[str, str]] = []
    for row, starter in enumerate(CHOICES["starter"]):
        others = {name: CHOICES[name][(row + 1) % len(CHOICES[name])] for name in OTHERS}
        answers.append({"starter": starter, "config": config, **others})
    # A tracker more than there are starters.
    first = {name: CHOICES[name][0] for name in ("starter", *OTHERS)}
    return [*answers, {"config": config, **first}]


def origin(file: Path, project: Path) -> str:
    """The template's file that a project's file was generated from."""
    content = file.read_bytes()
    for folder in ("choices", "template"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.read_bytes() == content:
                return str(path.relative_to(ROOT))
    (package,) = (path.name for path in (project / "src").iterdir())
    name = str(file.relative_to(project))
    return f"template/{name.replace(f'src/{package}/', 'src/{{ package_name }}/')}.jinja"


@pytest.mark.parametrize("config", [pytest.param("dataclass", marks=pytest.mark.slow), "pydantic"])
def test_every_alternative_is_strictly_typed(config: str, template: Path, tmp_path: Path) -> None:
    production = render(template, tmp_path / "production", stage="production")
    content = tomllib.loads((production / "pyproject.toml").read_text(encoding="utf-8"))
    settings: dict[str, Any] = content["tool"]["pyright"]
    environments: list[dict[str, Any]] = []
    for number, answers in enumerate(projects(config)):
        render(template, tmp_path / f"project{number}", **answers)
        environments.append({"root": f"project{number}", "extraPaths": [f"project{number}/src"]})
    settings["include"] = [
        f"{environment['root']}/{folder}"
        for environment in environments
        for folder in settings["include"]
    ]
    settings["executionEnvironments"] = environments
    path = tmp_path / "pyrightconfig.json"
    path.write_text(json.dumps(settings), encoding="utf-8")

    rendered = {path.read_bytes() for path in tmp_path.glob("project*/**/*.py")}
    all_alternatives = sorted((template / "choices").rglob("*.py"))
    alternatives = [
        path
        for path in all_alternatives
        if path.name != "explore.py"  # throwaway code, untyped
        and not any(style in path.stem for style in CHOICES["config"] if style != config)
    ]
    missing = [str(path) for path in alternatives if path.read_bytes() not in rendered]
    assert missing == [], "alternatives that are in none of the projects"

    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", str(PYTHON)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    report = json.loads(result.stdout)
    assert report["summary"]["filesAnalyzed"] > 0, result.stdout
    problems: dict[str, Path] = {}  # with one of the files that have it
    for diagnostic in report["generalDiagnostics"]:
        file = Path(diagnostic["file"])
        project = tmp_path / file.relative_to(tmp_path).parts[0]
        line = diagnostic["range"]["start"]["line"] + 1
        rule = diagnostic.get("rule", "")
        problem = f"{origin(file, project)}:{line} {diagnostic['message']} ({rule})"
        problems.setdefault(problem, file.relative_to(project))
    lines = [f"{problem}, in {file}" for problem, file in sorted(problems.items())]
    assert not lines, "\n".join(lines)
