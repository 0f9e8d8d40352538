"""The reports: statistics against known values, injected defects, null data, invalid input."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from ml_architect.errors import CommandError
from ml_architect.reports.calibration import Calibration, calibrate
from ml_architect.reports.data_report import Drift, find_drift, report_data
from ml_architect.reports.duplicates import (
    find_duplicates,
    match,
    minhash,
    rounded,
    sign_rows,
    simhash,
)
from ml_architect.reports.predictions import Predictions, read_predictions
from ml_architect.reports.run_report import report_run
from ml_architect.reports.slices import associations, compare_slices
from ml_architect.reports.statistics import (
    ALPHA,
    Array,
    bootstrap,
    holm,
    mean_interval,
    stats,
    wilson,
)
from ml_architect.reports.tables import categorize, parse
from ml_architect.runs.run import Run

SEEDS = range(100)


def write_run(root: Path, rows: Mapping[str, Any], name: str = "small") -> Run:
    """A run with these predictions and nothing optional."""
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("", encoding="utf-8")
    provenance = {"format": 1, "started": "2026-11-20T09:30:00+01:00"}
    (folder / "run.json").write_text(json.dumps(provenance), encoding="utf-8")
    pl.DataFrame(dict(rows)).write_csv(folder / "predictions.csv")
    return Run(folder, root)


def report(run: Run, *slice_by: str) -> tuple[str, str]:
    """The HTML report, and the summary in the terminal."""
    output = io.StringIO()
    report_run(run, slice_by, None, Console(file=output))
    return (run.folder / "analysis.html").read_text(encoding="utf-8"), output.getvalue()


def classification(size: int, seed: int = 0, overconfidence: float = 0.0) -> dict[str, Any]:
    """Predictions whose accuracy is their confidence minus `overconfidence`."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.5, 0.99, size)
    is_correct = rng.random(size) < confidence - overconfidence
    labels = rng.integers(0, 3, size)
    predicted = np.where(is_correct, labels, (labels + 1) % 3)
    return {
        "id": [f"example-{number}" for number in range(size)],
        "loss": -np.log(np.where(is_correct, confidence, 1 - confidence)),
        "label": labels.astype(str),
        "predicted": predicted.astype(str),
        "confidence": confidence,
    }


def read(root: Path, rows: Mapping[str, Any], name: str = "small") -> Predictions:
    return read_predictions(write_run(root, rows, name).folder / "predictions.csv")


def calibration_of(root: Path, rows: Mapping[str, Any], name: str = "small") -> Calibration:
    result = calibrate(read(root, rows, name))
    assert result is not None
    return result


# Statistics


def test_holm_multiplies_the_smallest_p_value_by_the_number_of_tests_and_never_reverses() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1, 1]
    assert holm([]) == []


def test_the_wilson_interval_has_its_published_value_and_is_defined_without_failures() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    low, high = wilson(10, 10)
    assert (low, high) == pytest.approx((0.7225, 1), abs=1e-4)


def test_the_interval_of_a_mean_is_that_of_the_t_test_without_weights() -> None:
    values = np.random.default_rng(0).normal(3, 1, 30)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert mean_interval(values, np.full(30, 2.5)) == pytest.approx((expected.low, expected.high))


def test_a_weighted_interval_has_its_nominal_coverage() -> None:
    covered = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        weights = rng.uniform(1, 5, 60)
        low, high = mean_interval(rng.exponential(1, 60) + 1 / weights, weights)
        true_mean = 1 + 1 / 3  # the mean of 1 / weights, weighted by them, is 1 / 3
        covered += low <= true_mean <= high
    assert 0.88 <= covered / len(SEEDS) <= 0.99


def test_the_bootstrap_agrees_with_scipy_on_a_mean() -> None:
    values = np.random.default_rng(0).exponential(1, 300)
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=5000, rng=1
    ).confidence_interval
    [interval] = bootstrap(lambda weights: [values @ weights / weights.sum()], np.ones(300))
    assert interval == pytest.approx((expected.low, expected.high), abs=0.02)


# Metrics


def test_metrics_of_a_classification_have_their_known_values(tmp_path: Path) -> None:
    rows = {
        "id": ["a", "b", "c", "d"],
        "loss": [0.1, 0.3, 2.0, 0.4],
        "label": ["cat", "cat", "dog", "dog"],
        "predicted": ["cat", "dog", "dog", "dog"],
        "confidence": [0.9, 0.6, 0.8, 0.7],
    }
    metrics = read(tmp_path, rows).metrics(np.ones(4))
    # F1 of cat: precision 1, recall 1/2; of dog: precision 2/3, recall 1
    expected = {"accuracy": 0.75, "macro F1": (2 / 3 + 4 / 5) / 2, "loss": 0.7}
    assert metrics == pytest.approx(expected)


def test_metrics_of_a_regression_have_their_known_values(tmp_path: Path) -> None:
    rows = {"id": ["a", "b", "c"], "loss": [1, 0, 4], "label": [1, 2, 3], "predicted": [2, 2, 1]}
    metrics = read(tmp_path, rows).metrics(np.ones(3))
    expected = {"RMSE": (5 / 3) ** 0.5, "MAE": 1, "R²": 1 - 5 / 2, "loss": 5 / 3}
    assert metrics == pytest.approx(expected)


def test_losses_of_texts_are_weighted_by_their_size(tmp_path: Path) -> None:
    rows = {"id": ["a", "b", "c"], "loss": [1.0, 2.0, 9.0], "weight": [3, 1, 0]}
    predictions = read(tmp_path, rows)
    assert predictions.metrics(predictions.numbers["weight"]) == {"loss": 1.25}


# Calibration


@pytest.mark.slow
def test_calibrated_predictions_are_rarely_reported_as_miscalibrated(tmp_path: Path) -> None:
    false_alarms = [
        calibration_of(tmp_path, classification(300, seed), str(seed)).p_value < ALPHA
        for seed in SEEDS
    ]
    assert np.mean(false_alarms) <= 0.1


def test_overconfident_predictions_are_reported_as_overconfident(tmp_path: Path) -> None:
    result = calibration_of(tmp_path, classification(1000, overconfidence=0.15))
    assert result.p_value < 0.01
    assert result.error == pytest.approx(0.15, abs=0.04)
    assert "significant" in str(result)
    assert "too high" in str(result)


def test_a_calibrated_regression_passes_and_a_biased_one_does_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    predicted = rng.normal(size=500)
    rows = {"id": np.arange(500), "loss": np.ones(500), "predicted": predicted}
    noise = rng.normal(0, 0.5, 500)
    good = calibration_of(tmp_path, {**rows, "label": predicted + noise}, "good")
    biased = calibration_of(tmp_path, {**rows, "label": predicted + noise + 0.3}, "biased")
    assert good.p_value > 0.05
    assert biased.p_value < 0.01
    assert "too low" in str(biased)


def test_fractions_of_correct_predictions_are_calibrated_too(tmp_path: Path) -> None:
    confidence = np.random.default_rng(0).uniform(0.2, 0.9, 200)
    rows = {"id": np.arange(200), "loss": np.ones(200), "confidence": confidence}
    good = calibration_of(tmp_path, {**rows, "correct": confidence}, "good")
    assert good.error == pytest.approx(0)
    bad = calibration_of(tmp_path, {**rows, "correct": confidence - 0.2}, "bad")
    assert bad.error == pytest.approx(0.2)
    assert bad.p_value < 0.01


# Slices


def null_errors(kind: str, rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Errors that are independent of any metadata, and weights."""
    weights = np.ones(size)
    if kind == "binary":
        return (rng.random(size) < 0.1).astype(float), weights
    if kind == "weighted":
        return rng.exponential(1, size), rng.uniform(1, 100, size)
    return rng.exponential(1, size), weights


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "skewed", "weighted"])
def test_slices_are_rarely_flagged_where_errors_are_random(kind: str) -> None:
    false_alarms = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        errors, weights = null_errors(kind, rng, 300)
        columns = {
            "site": pl.Series("site", rng.choice(list("abcdefgh"), 300)),
            "age": pl.Series("age", rng.normal(size=300)),
        }
        false_alarms += any(result.is_worse for result in compare_slices(errors, weights, columns))
    assert false_alarms / len(SEEDS) <= 0.1


@pytest.mark.parametrize("kind", ["binary", "skewed", "weighted"])
def test_only_a_bad_slice_is_flagged(kind: str) -> None:
    rng = np.random.default_rng(0)
    errors, weights = null_errors(kind, rng, 600)
    sites = pl.Series("site", rng.choice(list("abcdef"), 600))
    in_c = (sites == "c").to_numpy()
    errors = np.where(
        in_c, (rng.random(600) < 0.6).astype(float) if kind == "binary" else errors + 1, errors
    )
    slices = compare_slices(
        errors, weights, {"site": sites, "age": pl.Series(rng.normal(size=600))}
    )
    assert [result.name for result in slices if result.is_worse] == ["c"]
    worst = slices[0]
    assert worst.interval[0] < worst.error < worst.interval[1]
    assert worst.interval[0] > worst.rest
    assert len(slices) == 6 + 4


def test_a_slice_of_few_examples_is_not_tested() -> None:
    errors = np.array([1.0] * 9 + [0.0] * 91)
    columns = {"site": pl.Series("site", ["a"] * 9 + ["b"] * 91)}
    assert compare_slices(errors, np.ones(100), columns) == []


def test_missing_values_and_rare_categories_have_their_own_slices() -> None:
    values = [f"frequent {number}" for number in range(20)] * 3 + ["rare 1", "rare 2", None]
    categories = categorize(pl.Series("site", values))
    assert categories.to_list()[-3:] == ["(other)", "(other)", "(missing)"]
    assert categories.n_unique() == 22


def test_numbers_are_sliced_by_quartiles() -> None:
    categories = categorize(pl.Series("age", [*np.arange(100.0), None]))
    assert categories.value_counts()["count"].sort().to_list() == [1, 25, 25, 25, 25]
    assert set(categories) >= {"0 to 24.75", "74.25 to 99", "(missing)"}


def test_strings_that_look_like_numbers_stay_strings() -> None:
    assert parse(pl.Series(["007", "12"])).to_list() == ["007", "12"]
    assert parse(pl.Series(["-0.5", "0", "inf", None, "1e3"])).to_list() == [
        -0.5,
        0,
        None,
        None,
        1000,
    ]
    assert parse(pl.Series(["1", "two"])).to_list() == ["1", "two"]


def test_metadata_that_errors_depend_on_comes_first() -> None:
    rng = np.random.default_rng(0)
    columns = {
        "noise": pl.Series(rng.normal(size=300)),
        "blur": pl.Series(rng.normal(size=300)),
        "site": pl.Series(rng.choice(["a", "b"], 300)),
    }
    loss = rng.exponential(1, 300) + np.maximum(columns["blur"].to_numpy(), 0)
    results = associations(loss, columns)
    assert results[0][0] == "blur"
    assert results[0][2] < 0.001
    assert all(p_value > 0.05 for name, _, p_value in results if name != "blur")


# Drift


def splits_of(size: int) -> pl.Series:
    return pl.Series(
        "split", ["train"] * size + ["validation"] * (size // 2) + ["test"] * (size // 2)
    )


def notable(results: list[Drift]) -> list[tuple[str, str]]:
    return [(result.column, result.split) for result in results if result.is_notable]


@pytest.mark.slow
def test_drift_is_rarely_reported_where_there_is_none() -> None:
    false_alarms = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        columns = {
            "age": pl.Series(rng.normal(size=400)),
            "site": pl.Series(rng.choice(["a", "b", "c", "rare"], 400, p=[0.5, 0.3, 0.19, 0.01])),
            "width": pl.Series(np.where(rng.random(400) < 0.2, np.nan, rng.random(400))).fill_nan(
                None
            ),
        }
        false_alarms += bool(notable(find_drift(columns, splits_of(200))))
    assert false_alarms / len(SEEDS) <= 0.03  # 100 data sets at a level of 0.01


def test_drift_is_detected_in_numbers_categories_and_missing_values() -> None:
    rng = np.random.default_rng(0)
    size = 1000
    in_test = (splits_of(size) == "test").to_numpy()
    columns = {
        "age": pl.Series(rng.normal(size=2 * size) + 0.6 * in_test),
        "site": pl.Series(np.where(in_test & (rng.random(2 * size) < 0.4), "new", "old")),
        "width": pl.Series(np.where(in_test & (rng.random(2 * size) < 0.3), np.nan, 1.0)).fill_nan(
            None
        ),
        "same": pl.Series(rng.normal(size=2 * size)),
    }
    results = find_drift(columns, splits_of(size))
    assert notable(results) == [("age", "test"), ("site", "test"), ("width missing", "test")]


def test_a_significant_but_trivial_difference_is_not_reported() -> None:
    rng = np.random.default_rng(0)
    size = 50_000
    ages = rng.normal(size=2 * size) + 0.1 * (splits_of(size) == "test").to_numpy()
    results = find_drift({"age": pl.Series(ages)}, splits_of(size))
    assert any(result.p_value < 0.001 for result in results)
    assert notable(results) == []


# Near-duplicates


def test_a_noisy_brighter_copy_of_an_image_is_found_and_unrelated_images_are_not() -> None:
    rng = np.random.default_rng(0)
    images = np.kron(rng.normal(size=(2000, 6, 6)), np.ones((1, 4, 4)))
    images[1900] = images[7] * 1.3 + 5 + rng.normal(0, 0.02, (24, 24))
    partners = match(simhash(images), np.repeat([0, 1], [1800, 200]))
    assert np.argwhere(partners >= 0).tolist() == [[7, 1], [1900, 0]]
    assert partners[7, 1] == 1900
    assert partners[1900, 0] == 7


def test_half_of_the_images_may_be_one_blank_image() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3000, 8, 8), dtype=np.uint8)
    images[::2] = 0
    images[2999] = images[1]
    partners = match(simhash(images), np.repeat([0, 1], [2000, 1000]))
    assert (partners[::2] >= 0).all()
    assert (partners[::2] % 2 == 0).all()
    assert np.flatnonzero((partners[1::2] >= 0).any(axis=1)).tolist() == [0, 1499]


def test_a_copied_text_with_a_changed_word_is_found_and_unrelated_texts_are_not() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(1, 5000, rng.integers(3, 400)) for _ in range(500)]
    texts[450] = texts[100] = rng.integers(1, 5000, 300)
    texts[451] = texts[100].copy()
    texts[451][150] = 7
    ends = 1 + np.concatenate([[0], np.cumsum([len(text) + 1 for text in texts])])
    tokens = np.zeros(ends[-1], dtype=np.uint16)
    for start, text in zip(ends, texts, strict=False):
        tokens[start : start + len(text)] = text
    partners = match(minhash(tokens, ends), np.repeat([0, 1], [400, 100]))
    assert set(np.argwhere(partners >= 0)[:, 0].tolist()) == {100, 450, 451}
    assert partners[450, 0] == partners[451, 0] == 100


def test_short_texts_are_near_duplicates_only_if_they_are_equal() -> None:
    texts = [[1, 2, 3], [1, 2, 3], [1, 2], [1, 2, 3, 1], [9] * 8]
    ends = 1 + np.concatenate([[0], np.cumsum([len(text) + 1 for text in texts])])
    tokens = np.array([0, *(token for text in texts for token in [*text, 0])], dtype=np.uint16)
    partners = match(minhash(tokens, ends), np.array([0, 1, 1, 1, 1]))
    assert np.argwhere(partners >= 0).tolist() == [[0, 1], [1, 0]]


def test_rows_of_a_table_are_near_duplicates_if_three_digits_agree() -> None:
    rows = np.array(
        [[1.0004, -2e6, 0.0], [1.0, -2.001e6, -0.0], [1.1, -2e6, 0.0], [10.0, -2e6, 0.0]]
    )
    first, second, *others = rounded(rows)
    assert first.tolist() == second.tolist()
    assert all(other.tolist() != first.tolist() for other in others)


def test_rows_are_near_duplicates_only_if_chance_does_not_explain_it() -> None:
    rng = np.random.default_rng(0)
    passengers = np.column_stack(
        [
            rng.integers(1, 4, 900),  # class
            rng.integers(2, size=900),  # sex
            rng.integers(3, size=900),  # harbor
            rng.integers(1, 80, 900),  # age
            rng.choice([7.25, 7.75, 7.9, 8.05, 13.0, 26.0], 900),  # fare
        ]
    ).astype(float)
    splits = rng.integers(2, size=900)
    assert len(np.unique(passengers, axis=0)) < 900, "unrelated passengers are equal"
    assert (match(sign_rows(rounded(passengers)), splits) == -1).all()

    measured = rng.normal(size=(900, 6))
    measured[1] = measured[0] * 1.00001
    partners = match(sign_rows(rounded(measured)), np.zeros(900, dtype=int))
    assert np.flatnonzero(partners[:, 0] >= 0).tolist() == [0, 1]


def test_there_are_no_near_duplicates_without_inputs(tmp_path: Path) -> None:
    assert find_duplicates(tmp_path, {"train": 3}) is None


# Pages


def test_a_classification_has_all_sections(tmp_path: Path) -> None:
    rows = classification(300)
    rows['site, "main"'] = np.random.default_rng(0).choice(["Zürich", "$x$ <b>", "東京"], 300)
    page, summary = report(write_run(tmp_path, rows))
    for heading in ("Metrics", "Learning curve", "Calibration", "Confusion matrix", "Slices"):
        assert f"<h2>{heading}</h2>" in page
    assert "<h2>Error analysis</h2>" in page
    assert "<h2>Provenance</h2>" in page
    assert "$x$ &lt;b&gt;" in page
    assert "accuracy" in summary
    assert summary.rstrip().endswith("analysis.html")


def test_columns_may_have_names_that_polars_would_read_as_patterns(tmp_path: Path) -> None:
    names = ["*", "^a$", "value", "examples", "split_"]
    rows = {**classification(60), **{name: ["x", "y", "z"] * 20 for name in names}}
    page, _ = report(write_run(tmp_path, rows))
    assert "a$: x" in page
    write_examples(tmp_path, {**rows, "split": ["train", "test"] * 30})
    assert "Distribution of a$" in data_report(tmp_path)[0]


def test_a_regression_has_residuals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(size=100)
    predicted = labels + rng.normal(0, 0.1, 100)
    rows = {
        "id": np.arange(100),
        "loss": (labels - predicted) ** 2,
        "label": labels,
        "predicted": predicted,
    }
    run = write_run(tmp_path, {**rows, "rooms": rng.integers(1, 5, 100)})
    metric = {"median_absolute_error": {"value": 0.5, "low": 0.4, "high": 0.6}}
    evaluation = {"step": 1, "examples": 100, "metrics": metric}
    (run.folder / "metrics.json").write_text(json.dumps(evaluation), encoding="utf-8")
    page, summary = report(run)
    assert "<h2>Residuals</h2>" in page
    assert "<h2>Confusion matrix</h2>" not in page
    assert "RMSE" in summary
    assert "median_absolute_error  0.5 (0.4\u00a0to\u00a00.6)" in summary


def test_losses_of_texts_are_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {"id": np.arange(50), "loss": rng.exponential(1, 50), "weight": rng.integers(1, 99, 50)}
    page, _ = report(write_run(tmp_path, {**rows, "language": rng.choice(["en", "de"], 50)}))
    assert "mean loss" in page
    assert "<h2>Calibration</h2>" not in page


def test_with_many_classes_the_most_frequent_confusions_replace_the_matrix(
    tmp_path: Path,
) -> None:
    labels = [f"class {number % 30}" for number in range(300)]
    rows = {**classification(300), "label": labels, "predicted": [labels[0], *labels[:-1]]}
    page, _ = report(write_run(tmp_path, rows))
    assert "<h2>Confusion matrix</h2>" not in page
    assert "Most frequent confusions" in page


def test_slices_are_limited_to_the_requested_columns(tmp_path: Path) -> None:
    rows = {**classification(100), "site": ["a", "b"] * 50, "age": np.arange(100)}
    page, _ = report(write_run(tmp_path, rows), "site")
    assert "site: a" in page
    assert "age: " not in page
    assert "label: " not in page


@pytest.mark.parametrize("size", [1, 2, 40])
@pytest.mark.parametrize("kind", ["classification", "regression", "loss"])
def test_tiny_and_constant_predictions_do_not_fail(tmp_path: Path, size: int, kind: str) -> None:
    rows: dict[str, Any] = {"id": ["é\"'\n,"] * size, "loss": [0.0] * size}
    rows |= {"constant": [1] * size, "missing": [None] * size, "text": ["a"] * size}
    if kind == "classification":
        rows |= {"label": ["01"] * size, "predicted": ["01"] * size, "confidence": [1.0] * size}
    elif kind == "regression":
        rows |= {"label": [1.0] * size, "predicted": [1.0] * size}
    page, _ = report(write_run(tmp_path, rows))
    assert "<h2>Provenance</h2>" in page


# Invalid input


VALID = {"id": ["a", "b"], "loss": [0.1, 0.2], "site": ["x", "y"]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"id": ["a"], "label": ["x"]}, "no column loss; expected it beside id, label"),
        ({"id": [], "loss": []}, "no rows"),
        ({**VALID, "loss": ["0.1", "much"]}, "row 2: loss is much; expected a finite number"),
        ({**VALID, "loss": [0.1, None]}, "row 2: loss is empty; expected a value"),
        ({**VALID, "loss": [0.1, float("inf")]}, "row 2: loss is inf; expected a finite number"),
        ({**VALID, "weight": [1, -1]}, "row 2: weight is -1; expected a finite number, 0 to inf"),
        ({**VALID, "weight": [0, 0]}, "every weight is 0"),
        ({**VALID, "confidence": [0.5, 0.6]}, "needs the columns label and predicted, or correct"),
        (
            {**VALID, "label": ["x", "y"], "predicted": ["x", "x"], "confidence": [0.5, 1.5]},
            "row 2: confidence is 1.5; expected a finite number, 0 to 1",
        ),
        ({**VALID, "label": ["cat", "dog"], "predicted": ["cat", "cat"]}, "row 1: label is cat"),
    ],
)
def test_an_invalid_table_gets_a_one_line_error_and_nothing_is_written(
    rows: dict[str, Any], message: str, tmp_path: Path
) -> None:
    run = write_run(tmp_path, rows)
    with pytest.raises(CommandError) as error:
        report(run)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (run.folder / "analysis.html").exists()


@pytest.mark.parametrize("content", [b"", b"id,loss\n1,2,3\n", b"\xff\xfe\n", b'id,loss\n"1,2\n'])
def test_a_file_that_is_not_csv_gets_a_one_line_error(content: bytes, tmp_path: Path) -> None:
    run = write_run(tmp_path, VALID)
    (run.folder / "predictions.csv").write_bytes(content)
    with pytest.raises(CommandError) as error:
        report(run)
    assert str(run.folder / "predictions.csv") in str(error.value)
    assert "\n" not in str(error.value)


def test_without_predictions_the_error_names_the_command_that_writes_them(tmp_path: Path) -> None:
    run = write_run(tmp_path, VALID)
    (run.folder / "predictions.csv").unlink()
    with pytest.raises(CommandError, match=r"first: COMMAND evaluate .*small, or see docs"):
        report(run)


def test_an_unknown_column_to_slice_by_gets_a_suggestion(tmp_path: Path) -> None:
    run = write_run(tmp_path, VALID)
    with pytest.raises(CommandError, match=r"--slice-by sit: no such column; did you mean site\?"):
        report(run, "sit")
    with pytest.raises(CommandError, match="expected one of site"):
        report(run, "altogether")


def test_a_file_that_cannot_be_written_gets_a_one_line_error(tmp_path: Path) -> None:
    run = write_run(tmp_path, VALID)
    (tmp_path / "file").touch()
    for output in (tmp_path, tmp_path / "file/page.html"):
        with pytest.raises(CommandError, match="expected a file"):
            report_run(run, [], output, Console(file=io.StringIO()))


# The report on the data


def write_examples(root: Path, rows: Mapping[str, Any]) -> Path:
    folder = root / "data/cache/0a1b"
    folder.mkdir(parents=True)
    pl.DataFrame(dict(rows)).write_csv(folder / "examples.csv")
    return folder


def data_report(root: Path, folder: Path | None = None) -> tuple[str, str]:
    output = io.StringIO()
    report_data(root, folder, None, Console(file=output))
    return (root / "runs/data.html").read_text(encoding="utf-8"), output.getvalue()


def examples(size: int = 100) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    splits = ["train", "test", "train", "validation"] * (size // 4)
    labels = rng.choice(["3", "8"], size)
    return {"id": [f"{row:03d}" for row in range(size)], "split": splits, "label": labels}


def test_the_data_report_has_all_sections_and_reports_an_imbalance(tmp_path: Path) -> None:
    rows = examples()
    rows["label"] = np.where(np.arange(100) < 4, "8", "3")
    rows["width"] = [None if row % 10 == 0 else row for row in range(100)]
    write_examples(tmp_path, rows)
    unfinished = tmp_path / "data/cache/.0a1b/examples.csv"  # newer, but `validate` was killed
    unfinished.parent.mkdir()
    unfinished.touch()
    page, summary = data_report(tmp_path)
    for heading in ("Splits", "Class balance", "Distributions", "Drift", "Missing values"):
        assert f"<h2>{heading}</h2>" in page
    assert "<h2>Near-duplicates</h2>" in page
    assert "class imbalance in train: 48 examples of 3, 2 of 8" in summary
    assert "Not looked for" in page


def test_rows_of_the_inputs_match_the_examples_of_their_split(tmp_path: Path) -> None:
    folder = write_examples(tmp_path, examples())
    inputs = np.random.default_rng(0).integers(0, 256, (100, 8, 8), dtype=np.uint8)
    inputs[9] = inputs[2]  # of test and of train
    splits = np.array(examples()["split"])
    for split in set(splits):
        np.save(folder / f"{split}.inputs.npy", inputs[splits == split])
    page, summary = data_report(tmp_path)
    assert "near-duplicates: 1 of 25 test examples have one in train" in summary
    assert "<tr><th>009 (test)</th><td>002 (train)</td></tr>" in page


def test_inputs_that_do_not_match_get_a_one_line_error(tmp_path: Path) -> None:
    folder = write_examples(tmp_path, examples())
    np.save(folder / "train.inputs.npy", np.zeros((3, 8, 8)))
    with pytest.raises(CommandError, match="has 3 rows, but 50 train examples"):
        data_report(tmp_path)
    (folder / "train.inputs.npy").write_bytes(b"corrupt")
    with pytest.raises(CommandError, match="first: COMMAND validate"):
        data_report(tmp_path)
    assert not (tmp_path / "runs").exists()


def test_an_unknown_split_gets_a_suggestion(tmp_path: Path) -> None:
    write_examples(tmp_path, {"id": ["a", "b"], "split": ["train", "tests"]})
    with pytest.raises(CommandError, match=r"tests: no such split; did you mean test\?"):
        data_report(tmp_path)


def test_without_examples_the_error_names_the_command_that_writes_them(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="first: COMMAND validate"):
        data_report(tmp_path)
    with pytest.raises(CommandError, match="first: COMMAND validate"):
        data_report(tmp_path, tmp_path / "elsewhere")


@pytest.mark.parametrize("splits", [["train"], ["test"], ["train", "test"], ["test"] * 30])
def test_tiny_and_constant_data_do_not_fail(splits: list[str], tmp_path: Path) -> None:
    size = len(splits)
    rows: dict[str, Any] = {"id": [f'é{row}",' for row in range(size)], "split": splits}
    rows |= {"label": ["01"] * size, "group": [None] * size, "missing": [None] * size}
    write_examples(tmp_path, {**rows, "constant": [1] * size, "width": range(size)})
    page, _ = data_report(tmp_path)
    assert "<h2>Drift</h2>" in page


def test_a_folder_without_labels_is_reported_too(tmp_path: Path) -> None:
    write_examples(tmp_path, {"id": ["a"], "split": ["train"], "label": [None]})
    page, _ = data_report(tmp_path)
    assert "No classes." in page


def test_reports_do_not_load_the_generator() -> None:
    modules = "ml_architect.reports.run_report, ml_architect.reports.data_report"
    code = f"import sys, {modules}; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert "ml_architect.reports.slices" in loaded
    assert not {"copier", "ml_architect.generate", "matplotlib.pyplot"} & loaded
