"""Each format version's golden folder: docs/run-format.md documents it, and readers read it."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from ml_architect.reports.data_report import report_data
from ml_architect.reports.predictions import read_predictions
from ml_architect.reports.run_report import report_run
from ml_architect.runs.run import FORMAT, Estimate, Run, all_runs, open_run

HERE = Path(__file__).parent
GOLDEN = HERE / "run_format" / str(FORMAT)
RUN = GOLDEN / "runs" / "digits"
PAGE = (HERE.parent / "docs" / "run-format.md").read_text(encoding="utf-8")


def documented(heading: str) -> list[str]:
    """First column of the table below a heading, in order."""
    section = PAGE.split(f"\n{heading}\n")[1].split("\n#")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [row.split("`")[1] for row in rows]


def documented_files() -> set[str]:
    """The files and folders in the folder of a run."""
    block = PAGE.split("```")[1]
    return {line.split()[0].rstrip("/") for line in block.splitlines() if line.startswith("  ")}


def read_object(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The golden folder, to be changed."""
    shutil.copytree(GOLDEN, tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.parametrize("name", ["run.json", "outcome.json", "metrics.json"])
def test_the_keys_of_a_json_file_are_those_that_are_documented(name: str) -> None:
    assert sorted(read_object(RUN / name)) == sorted(documented(f"### {name}"))


def test_the_keys_of_the_timings_are_those_that_are_documented() -> None:
    for line in (RUN / "timings.jsonl").read_text(encoding="utf-8").splitlines():
        assert sorted(json.loads(line)) == sorted(documented("### timings.jsonl"))


def test_the_columns_of_the_predictions_are_documented_or_metadata() -> None:
    columns = list(read_rows(RUN / "predictions.csv")[0])
    assert set(columns) - set(documented("### predictions.csv")) == {"scanner", "slant"}
    assert set(documented("### predictions.csv")) <= set(columns)


@pytest.mark.parametrize(
    ("cache", "metadata"), [("0a1b2c3d", {"scanner", "slant"}), ("texts", {"language"})]
)
def test_the_columns_of_the_examples_are_documented_or_metadata(
    cache: str, metadata: set[str]
) -> None:
    columns = set(read_rows(GOLDEN / "data/cache" / cache / "examples.csv")[0])
    assert columns == set(documented("## The cached examples")) | metadata


def test_every_file_of_the_golden_folder_is_documented() -> None:
    assert {path.name for path in RUN.iterdir()} <= documented_files()
    for path in GOLDEN.glob("data/cache/*/*"):
        name = path.name
        for split in ("train", "validation", "test"):
            name = name.replace(f"{split}.", "<split>.")
        assert f"`{name}`" in PAGE or f"/{name}`" in PAGE, path


def test_metrics_have_a_step_that_ascends_and_finite_numbers() -> None:
    lines = [json.loads(line) for line in (RUN / "metrics.jsonl").read_bytes().splitlines()]
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    values = [value for line in lines for name, value in line.items() if name != "step"]
    assert np.isfinite(values).all()


def test_the_golden_run_is_read() -> None:
    [run] = all_runs(GOLDEN)
    assert run == open_run("digits", GOLDEN)
    assert run.name == "digits"
    assert run.config == run.provenance["config"]
    assert run.outcome
    assert run.outcome["best_value"] == 0.85
    assert run.metrics[2] == (
        30,
        {"train/loss": 0.42, "validation/loss": 0.52, "validation/accuracy": 0.85},
    )
    assert [line["seconds"] for line in run.timings] == [0.5, 1, 1.5, 2]
    assert not run.is_locked()


def test_the_golden_evaluation_is_read_and_agrees_with_the_predictions() -> None:
    evaluation = open_run("digits", GOLDEN).evaluation
    assert evaluation
    assert (evaluation.step, evaluation.examples) == (30, 60)
    assert evaluation.selecting("validation/accuracy") == ("accuracy", Estimate(0.8, (0.7, 0.9)))
    assert evaluation.selecting(None) == ("log_loss", evaluation.metrics["log_loss"])
    predictions = read_predictions(RUN / "predictions.csv")
    computed = predictions.metrics(np.ones(60))
    for name, key in (("accuracy", "accuracy"), ("log_loss", "loss")):
        assert evaluation.metrics[name].value == pytest.approx(computed[key], abs=1e-4)


def test_the_golden_predictions_have_the_metrics_that_were_counted_by_hand() -> None:
    predictions = read_predictions(RUN / "predictions.csv")
    # Scanner a is wrong in 4 of 45 examples, scanner b in 8 of 15.
    metrics = predictions.metrics(np.ones(60))
    assert metrics["accuracy"] == 48 / 60
    rows = read_rows(RUN / "predictions.csv")
    right = {"0": 15, "1": 17, "7": 16}
    for name, count in right.items():
        of_class = [row for row in rows if row["label"] == name]
        assert len(of_class) == 20
        assert sum(row["predicted"] == name for row in of_class) == count
    assert rows[3]["id"] == 'digit "03", café'


def test_the_reports_read_the_golden_folder(copy: Path) -> None:
    screen = io.StringIO()
    report_run(Run(copy / "runs/digits", copy), [], None, Console(file=screen, width=200))
    assert "accuracy      0.8 (0.6822" in screen.getvalue()
    assert "worse slices  scanner b, of 9 tested" in screen.getvalue()
    assert "log_loss      0.4111 (" in screen.getvalue(), "only metrics.json has it"
    assert screen.getvalue().count("accuracy ") == 1
    page = (copy / "runs/digits/analysis.html").read_text(encoding="utf-8")
    assert "with uncommitted changes" in page
    assert "<th>resumptions</th><td>1</td>" in page
    for cache, count in (("0a1b2c3d", "1 of 8"), ("texts", "1 of 1")):
        report_data(copy, copy / "data/cache" / cache, None, Console(file=screen, width=200))
        assert f"near-duplicates: {count} test examples have one in train" in screen.getvalue()


def test_a_reader_ignores_what_it_does_not_know_and_a_line_that_is_half_written(copy: Path) -> None:
    folder = copy / "runs/digits"
    for name in ("run.json", "outcome.json", "metrics.json"):
        content = read_object(folder / name) | {"later": {"key": [1]}}
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    for name in ("metrics.jsonl", "timings.jsonl"):
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write('{"step": 50, "later": 1}\n{"step": 60, "train/lo')
    (folder / "later.txt").touch()
    run = Run(folder, copy)
    assert run.metrics[-1] == (50, {"later": 1})
    assert [line["step"] for line in run.timings] == [10, 20, 30, 40, 50]
    report_run(run, [], None, Console(file=io.StringIO()))
    assert (folder / "analysis.html").exists()


def test_what_is_required_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "runs/own"
    folder.mkdir(parents=True)
    (folder / "config.toml").touch()
    provenance = {"format": FORMAT, "started": "2026-11-20T09:30:00+01:00"}
    (folder / "run.json").write_text(json.dumps(provenance), encoding="utf-8")
    (folder / "predictions.csv").write_text("id,loss\na,1\nb,2\n", encoding="utf-8")
    run = open_run("own", tmp_path)
    report_run(run, [], None, Console(file=io.StringIO()))
    assert (folder / "analysis.html").exists()
