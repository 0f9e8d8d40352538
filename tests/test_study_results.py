"""The results that studies compute from the values of their runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ml_architect.errors import CommandError
from ml_architect.reports.statistics import holm
from ml_architect.studies.ablate import compare, estimate, paired_effect
from ml_architect.studies.scale import Point, find_problems, fit
from ml_architect.studies.space import Range, _corners  # pyright: ignore[reportPrivateUsage]
from ml_architect.studies.study import folder_names, merge, nest


def test_the_parameters_of_a_power_law_are_recovered() -> None:
    examples = [100, 200, 400, 800]
    law = fit(examples, [3.0 * n**-0.25 for n in examples])
    assert law is not None
    assert law.exponent == pytest.approx(0.25)
    assert law.scale == pytest.approx(3.0)
    assert law.next_examples == 1600
    assert law.predicted == pytest.approx(3.0 * 1600**-0.25)


def test_a_prediction_interval_has_its_nominal_coverage() -> None:
    rng = np.random.default_rng(0)
    examples = np.array([100, 200, 400, 800, 1600])
    covered = 0
    for _ in range(400):
        losses = 2.0 * examples**-0.3 * np.exp(rng.normal(0, 0.05, 5))
        law = fit(examples.tolist(), losses.tolist())
        assert law is not None
        assert law.interval is not None
        new = 2.0 * 3200**-0.3 * math.exp(rng.normal(0, 0.05))
        covered += law.interval[0] <= new <= law.interval[1]
    assert 0.91 < covered / 400 < 0.98


@pytest.mark.parametrize(("examples", "losses"), [([100], [1.0]), ([100, 200], [1.0, 0.0])])
def test_without_two_positive_losses_there_is_no_power_law(
    examples: list[int], losses: list[float]
) -> None:
    assert fit(examples, losses) is None


def test_a_curve_that_does_not_decrease_is_reported_with_likely_causes() -> None:
    points = [Point("a", 100, 1.0, {}), Point("b", 200, 1.1, {})]
    (problem,) = find_problems({"wide": points}, {})
    assert problem.startswith("wide goes from 1 to 1.1 with 2 times the examples. Likely causes")
    assert find_problems({"": [Point("a", 100, 1.0, {}), Point("b", 200, 0.9, {})]}, {}) == []


def test_a_paired_effect_matches_students_example() -> None:
    # Student 1908, table I: extra hours of sleep by two drugs; p = 0.00283 (Senn 2008).
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    effect = paired_effect(first, second)
    assert effect.mean == pytest.approx(1.58)
    assert effect.p == pytest.approx(0.00283, abs=1e-5)
    assert effect.low == pytest.approx(0.70, abs=5e-3)
    assert effect.high == pytest.approx(2.46, abs=5e-3)


def test_identical_differences_are_not_significant() -> None:
    effect = paired_effect([1.0, 2.0, 3.0], [1.5, 2.5, 3.5])
    assert (effect.mean, effect.p) == (0.5, 1.0)
    assert not effect.is_significant


def test_p_values_are_adjusted_by_holms_method() -> None:
    # Example of R's p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm"), in another order.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []


def test_changes_without_effect_are_rarely_significant() -> None:
    rng = np.random.default_rng(0)
    false_alarms = 0
    for _ in range(200):
        values = {
            name: {("", seed): value for seed, value in enumerate(rng.normal(1, 0.1, 5).tolist())}
            for name in ("baseline", *"abcdefgh")
        }
        false_alarms += any(effect.is_significant for effect in compare(values).values())
    assert false_alarms / 200 < 0.09


def test_a_change_is_compared_over_the_seeds_that_it_shares_with_the_baseline() -> None:
    values = {
        "baseline": {("", 0): 1.0, ("", 1): 1.2, ("", 2): 1.1},
        "a": {("", 1): 1.0, ("", 2): 0.9},
        "b": {("", 0): 2.0},
    }
    effects = compare(values)
    assert effects.keys() == {"a"}
    assert effects["a"].count == 2
    assert effects["a"].mean == pytest.approx(-0.2)


def test_the_seeds_of_a_fold_count_as_one_measurement() -> None:
    baseline = {("a", 0): 1.0, ("a", 1): 1.2, ("b", 0): 2.0, ("b", 1): 2.2}
    change = {("a", 0): 1.1, ("a", 1): 1.5, ("b", 0): 2.4}  # one run failed
    effect = compare({"baseline": baseline, "change": change}, 1.0)["change"]
    expected = paired_effect([1.1, 2.0], [1.3, 2.4], 1.0)
    assert (effect.count, effect.mean) == (2, pytest.approx(0.3))
    assert (effect.low, effect.p) == (pytest.approx(expected.low), pytest.approx(expected.p))


def test_an_interval_over_folds_covers_the_mean_although_training_examples_overlap() -> None:
    # Nadeau and Bengio 2003: the values of k folds are correlated by about 1/k.
    rng = np.random.default_rng(0)
    covered = {0.0: 0, 1 / 4: 0}
    for _ in range(1000):
        values = 0.2**0.5 * rng.normal() + 0.8**0.5 * rng.normal(size=5)
        by_fold = {(f"fold-{number}", 0): value for number, value in enumerate(values.tolist())}
        for overlap in covered:
            mean = estimate(by_fold, overlap)
            assert mean is not None
            assert mean.interval is not None
            covered[overlap] += mean.interval[0] < 0 < mean.interval[1]
    assert 0.93 < covered[1 / 4] / 1000 < 0.97
    assert covered[0.0] / 1000 < 0.88


def test_corners_contain_each_value_and_all_combinations_of_a_small_space() -> None:
    assert len(_corners({"a": [0, 1], "b": [0, 1], "c": [0, 1]})) == 8
    corners = _corners({name: [0, 1] for name in "abcd"} | {"e": [1, 2, 3]})
    assert len(corners) == 3
    assert {corner["e"] for corner in corners} == {1, 2, 3}
    assert {corner["a"] for corner in corners} == {0, 1}


def test_a_range_contains_only_its_bounds_and_steps() -> None:
    stepped = Range(low=0.0, high=0.5, step=0.1)
    assert [stepped.contains(value) for value in (0.0, 0.3, 0.5, 0.35, 0.6)] == [
        *(True, True, True, False, False)
    ]


def test_settings_are_nested_and_merged_by_their_names() -> None:
    settings = {"seed": 0, "training": {"steps": 10, "rate": 0.1}}
    changes = nest({"training.rate": 0.2, "model.width": 8})
    assert merge(settings, changes) == {
        "seed": 0,
        "training": {"steps": 10, "rate": 0.2},
        "model": {"width": 8},
    }
    assert settings["training"] == {"steps": 10, "rate": 0.1}


@pytest.mark.parametrize("names", [["a b", "a-b"], ["?!"], ["A", "a"]])
def test_names_that_would_share_a_folder_are_rejected(names: list[str]) -> None:
    with pytest.raises(CommandError, match=r"ablate\.changes"):
        folder_names("ablate.changes", names)
