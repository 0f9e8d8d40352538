"""On a table, gradient boosting is a model like the network: trained, evaluated, used, exported."""

import csv
import json
import re
from pathlib import Path

import forks
import numpy as np
import pytest
from rendering import render
from test_projects import ENVIRONMENT, pytestmark, run

__all__ = ["pytestmark"]

PYTHON = str(ENVIRONMENT / "bin/python")
OPTIONS = ["--data.path", "steps.csv", "--data.target", "price"]


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A price with steps and interactions, on which trees are better than a network."""
    folder = render(template, tmp_path_factory.mktemp("boosting") / "mine", starter="tabular")
    rng = np.random.default_rng(0)
    with (folder / "steps.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["area", "height", "color", "price"])
        for area, height in rng.uniform(size=(1500, 2)).round(4):
            color = str(rng.choice(["red", "green", "blue"]))
            price = (int(20 * area) * 7) % 10 + 5 * (height > 0.3) * (color == "red")
            writer.writerow([area, height, color, price + rng.normal(scale=0.1)])
    run(folder, "python", "-m", "mine.cli", "train", *OPTIONS, "--model.kind", "boosting",
        "--run-name", "boosting")  # fmt: skip
    return folder


def values(folder: Path, name: str) -> dict[str, float]:
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    return {metric: entry["value"] for metric, entry in content["metrics"].items()}


def test_a_run_of_boosting_is_evaluated_and_used_as_any_other(project: Path) -> None:
    folder = project / "runs/boosting"
    outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
    assert (outcome["step"], outcome["ended_by"]) == (1, "adapt")
    run(project, "python", "-m", "mine.cli", "evaluate", "runs/boosting")
    assert values(folder, "metrics.json")["r2"] > 0.85

    (project / "new.csv").write_text("area,height,color\n0.52,0.9,red\n0.52,0.1,red\n")
    run(project, "python", "-m", "mine.cli", "predict", "runs/boosting", "new.csv")
    with (project / "predictions.csv").open(encoding="utf-8", newline="") as file:
        high, low = (float(row["predicted"]) for row in csv.DictReader(file))
    assert high - low == pytest.approx(5, abs=1)


def test_resuming_a_run_of_boosting_says_that_there_is_nothing_to_resume(project: Path) -> None:
    before = (project / "runs/boosting/metrics.jsonl").read_bytes()
    command = [PYTHON, "-m", "mine.cli", "train", "--resume", "runs/boosting"]
    done = forks.run(
        command, cwd=project, env={"PYTHONPATH": "src"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "nothing to resume" in done.stdout
    assert (project / "runs/boosting/metrics.jsonl").read_bytes() == before


def test_the_comparison_says_by_which_metrics_boosting_is_the_better_model(project: Path) -> None:
    steps = ["--training.max-steps", "60", "--training.warmup-steps", "5"]
    run(project, "python", "-m", "mine.cli", "train", *OPTIONS, *steps, "--run-name", "network")
    done = forks.run(
        [PYTHON, "-m", "mine.eval.boosting", "runs/network"],
        cwd=project,
        env={"PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = re.findall(r"^ +(rmse|mae|r2) .*\): worse$", done.stdout, re.MULTILINE)
    assert rows == ["rmse", "mae", "r2"]
    assert "Boosting is the better model, by rmse, mae, r2" in done.stdout
    assert "--model.kind boosting" in done.stdout


def test_exported_trees_predict_the_same(template: Path, project: Path, tmp_path: Path) -> None:
    production = render(template, tmp_path / "mine", starter="tabular", stage="production")
    (production / "runs").symlink_to(project / "runs")
    run(production, "python", "-m", "mine.export", "runs/boosting", str(tmp_path / "exported"))
    check = (
        "import numpy as np, torch\n"
        "model = torch.export.load('model.pt2').module()\n"
        "inputs = torch.from_numpy(np.load('example_inputs.npy'))\n"
        "expected = torch.from_numpy(np.load('example_predictions.npy'))\n"
        "torch.testing.assert_close(model(inputs), expected)\n"
    )
    run(tmp_path / "exported", "python", "-c", check)
