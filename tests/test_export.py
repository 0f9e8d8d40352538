"""An exported model runs where nothing of the project is installed."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from rendering import ROOT, render
from test_projects import pytestmark, run

__all__ = ["pytestmark"]

CHECK = """
import importlib.util
import numpy as np
import torch

assert importlib.util.find_spec("digits") is None
model = torch.export.load("model.pt2").module()
inputs = torch.from_numpy(np.load("example_inputs.npy"))
expected = torch.from_numpy(np.load("example_predictions.npy"))
torch.testing.assert_close(model(inputs), expected)
assert len(model(torch.cat([inputs, inputs, inputs]))) == 6
"""
SMALL = {
    "language_model": ["--data.context=32", "--model.size=1", "--training.batch-size=4"],
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with PyTorch and NumPy: those of `.venv-project`, without a copy."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    installed = ROOT / ".venv-project/lib" / version / "site-packages"
    (packages / "torch.pth").write_text(f"{installed}\n", encoding="utf-8")
    return folder / "bin/python"


@pytest.mark.parametrize("starter", ["image", "tabular", "blank", "language_model"])
def test_an_exported_model_predicts_the_same_without_the_projects_source(
    starter: str, template: Path, tmp_path: Path, python: Path
) -> None:
    project = render(template, tmp_path / "digits", starter=starter, stage="production")
    steps = ["--training.max-steps=6", "--training.warmup-steps=1"]
    options = [*steps, *SMALL.get(starter, [])]
    run(project, "python", "-m", "digits.cli", "train", "--run-name", "r", *options)
    run(project, "python", "-m", "digits.export", "runs/r", "exported")
    exported = (project / "exported").rename(tmp_path / "elsewhere")
    names = {path.name for path in exported.iterdir()}
    assert {"model.pt2", "model.safetensors", "config.toml", "schema.json", "README.md"} <= names
    modes = {path.stat().st_mode for path in exported.iterdir()}
    assert len(modes) == 1, "whoever can read one file can read all"
    assert "/exported/" in (project / ".gitignore").read_text(encoding="utf-8")

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [python, "-c", CHECK], cwd=exported, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
