"""Both config styles have the same settings, defaults, bounds and cross-checks."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from combinations import CATALOGUE, CHOICES
from rendering import render
from test_projects import ENVIRONMENT

pytestmark = pytest.mark.skipif(
    not ENVIRONMENT.exists() and "CI" not in os.environ,
    reason=f"{ENVIRONMENT} doesn't exist: make check creates it",
)

STYLES = CATALOGUE.question("config").values
CASES = [
    (starter, CHOICES["checkpoint"][number % len(CHOICES["checkpoint"])])
    for number, starter in enumerate(CHOICES["starter"])
]
"""Each starter and each checkpoint strategy, whose files are independent."""

SCRIPT = """
import importlib, json, math, pathlib, sys

VALUES = [-1, 0, 1, 2, 3, 7, 10**9, -0.5, 0.0, 1e-9, 0.5, 0.95, 1.0, 2.0, 1e9, math.nan, math.inf,
          "", "text", "1", "validation/", "validation/accuracy", "cpu", "min", True, False, [], {}]

def attempt(config, values):
    try:
        return config.to_dict(config.from_dict(values))
    except config.ConfigError as error:
        assert str(error), values
        return "rejected"

def explore(style):
    sys.path.insert(0, f"{style}/src")
    config = importlib.import_module(f"{style}_style.config")
    defaults = config.to_dict(config.Config())
    outcomes = {}
    for path in config.descriptions():
        *section, name = path.split(".")
        for value in VALUES:
            values = {section[0]: {name: value}} if section else {name: value}
            outcomes[f"{path}={value!r}"] = attempt(config, values)
    nonsense = {"nonsense": 1}
    for values in (nonsense, {"training": nonsense}, {"training": 1}, {"nonsense": {}}):
        outcomes[repr(values)] = attempt(config, values)
    for file in sorted(pathlib.Path(style, "configs").glob("*.toml")):
        values = config.read_toml(file)
        values.pop(file.stem, None)  # what a study varies
        outcomes[file.name] = attempt(config, values)
    return {"defaults": defaults, "descriptions": config.descriptions(), "outcomes": outcomes}

print(json.dumps({style: explore(style) for style in sys.argv[1:]}))
"""


@pytest.mark.parametrize(("starter", "checkpoint"), CASES)
def test_both_config_styles_accept_the_same_values(
    starter: str, checkpoint: str, template: Path, tmp_path: Path
) -> None:
    for style in STYLES:
        answers = {"starter": starter, "checkpoint": checkpoint, "config": style}
        render(template, tmp_path / style, package_name=f"{style}_style", **answers)
    result = subprocess.run(
        [ENVIRONMENT / "bin/python", "-c", SCRIPT, *STYLES],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    one, other = json.loads(result.stdout).values()
    assert one["defaults"] == other["defaults"]
    assert one["descriptions"] == other["descriptions"]
    assert all(one["descriptions"].values()), "a setting without a description"
    assert differences(one["outcomes"], other["outcomes"]) == {}
    accepted = [outcome != "rejected" for outcome in one["outcomes"].values()]
    assert 0.1 < sum(accepted) / len(accepted) < 0.9, "the test is vacuous"
    assert all(one["outcomes"][name] != "rejected" for name in one["outcomes"] if ".toml" in name)


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The outcomes that differ between the two styles, by value."""
    assert one.keys() == other.keys()
    return {
        name: dict(zip(STYLES, (one[name], other[name]), strict=True))
        for name in one
        if one[name] != other[name]
    }
