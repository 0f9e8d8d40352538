# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from rich.console import Console

from digits import cli
from digits.config import Config, from_dict, merge, read, to_dict
from digits.errors import NAME, ConfigError, RunError, without_passwords
from digits.studies import runs, trials, tuning
from digits.studies.ablation import Ablated, compare, holm, paired
from digits.studies.plan import AblatePlan, Range, ScalePlan, TunePlan
from digits.studies.runs import Child, open_run, train_all
from digits.studies.scaling import Point, Scaled, fit

CONFIGS = Path(__file__).parents[1] / "configs"
RATE = "training.learning_rate"


@pytest.mark.parametrize("plan", [ScalePlan, TunePlan, AblatePlan], ids=lambda plan: plan.__name__)
def test_each_study_that_is_shipped_can_be_carried_out(plan: Any) -> None:
    name = plan.__name__.removesuffix("Plan").lower()
    stated = read(CONFIGS / f"{name}.toml")
    plan.parse(stated.pop(name), from_dict(stated))


def test_the_config_of_a_study_is_for_that_study(capsys: pytest.CaptureFixture[str]) -> None:
    file = CONFIGS / "tune.toml"
    assert cli.main(["train", "--config", str(file)]) == 2
    assert capsys.readouterr().err == f"{file} is for {NAME} tune --config {file}\n"


def space(**settings: Any) -> dict[str, Any]:
    return {"trials": 3, "space": {"training": settings}}


@pytest.mark.parametrize(
    ("plan", "table", "message"),
    [
        (ScalePlan, {}, "scale.shares = None: expected a list of at least 2 different shares"),
        (ScalePlan, {"share": [1.0]}, "scale.share: unknown setting; did you mean scale.shares?"),
        (ScalePlan, {"shares": [0.5, 2.0]}, "scale.shares: training.share = 2.0: expected at most"),
        (
            ScalePlan,
            {"shares": [0.5, 1.0], "sizes": {"wide": {"training": {"max_step": 5}}}},
            "scale.sizes.wide: training.max_step: unknown setting; did you mean training.max_steps",
        ),
        (
            ScalePlan,
            {"shares": [0.5, 1.0], "sizes": {"A": {"seed": 1}, "a": {"seed": 2}}},
            "scale.sizes: 'A' and 'a' would share a folder's name",
        ),
        (TunePlan, {"trials": 0}, "tune.trials = 0: expected an integer, at least 1"),
        (TunePlan, {"trials": 3}, "tune.space: expected a setting to choose"),
        (
            TunePlan,
            space(learning_rat={"low": 0.1, "high": 0.2}),
            "tune.space: training.learning_rat: unknown setting; did you mean training.learning_ra",
        ),
        (
            TunePlan,
            space(learning_rate={"lo": 0.1, "high": 0.2}),
            f"tune.space.{RATE}.lo: unknown setting; did you mean tune.space.{RATE}.low?",
        ),
        (
            TunePlan,
            space(learning_rate={"low": 0.1, "high": 20.0}),
            f"tune.space.{RATE}: {RATE} = 20.0: expected at most 10",
        ),
        (
            TunePlan,
            space(learning_rate={"low": 0.2, "high": 0.1}),
            f"tune.space.{RATE}.low = 0.2: expected a number below high = 0.1",
        ),
        (
            TunePlan,
            space(max_steps={"low": 100, "high": 200.5}),
            "tune.space.training.max_steps: training.max_steps = 200.5: expected an integer",
        ),
        (
            TunePlan,
            space(weight_decay={"low": 0.0, "high": 0.1, "log": True}),
            "tune.space.training.weight_decay.log = True: expected true or false; true goes with",
        ),
        (
            TunePlan,
            space(batch_size={"options": [8, 0]}),
            "tune.space.training.batch_size: training.batch_size = 0: expected at least 1",
        ),
        (AblatePlan, {"seeds": [0]}, "ablate.seeds = [0]: expected a list of at least 2 different"),
        (AblatePlan, {"seeds": [0, -1]}, "ablate.seeds: seed = -1: expected at least 0"),
        (
            AblatePlan,
            {"seeds": [0, 1], "changes": {"nothing": {}}},
            "ablate.changes.nothing: changes nothing",
        ),
        (
            AblatePlan,
            {"seeds": [0, 1], "changes": {"luck": {"seed": 7}}},
            "ablate.changes.luck: the seed and checkpoint. are the same for all",
        ),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_by_its_full_path(
    plan: Any, table: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        plan.parse(table, Config())
    assert message in str(refused.value)


def test_a_range_goes_by_the_type_of_its_setting() -> None:
    plan = TunePlan.parse(
        space(max_steps={"low": 100, "high": 300, "step": 100}, weight_decay={"low": 0, "high": 1}),
        Config(),
    )
    steps, decay = (plan.space[f"training.{name}"] for name in ("max_steps", "weight_decay"))
    assert isinstance(steps, Range)
    assert steps.whole
    assert steps.hold(200)
    assert not steps.hold(250)
    assert isinstance(decay, Range)
    assert not decay.whole


def test_a_power_law_is_found_again_and_its_interval_covers_the_next_point() -> None:
    exact = fit([100, 200, 400, 800], [3 * n**-0.25 for n in (100, 200, 400, 800)])
    assert exact is not None
    assert (exact.exponent, exact.scale) == pytest.approx((0.25, 3))
    assert exact.predicted == pytest.approx(3 * 1600**-0.25)
    random, covered = np.random.default_rng(0), 0
    for _ in range(300):
        noise = np.exp(random.normal(0, 0.05, 6))
        sizes = [100 * 2**rung for rung in range(6)]
        law = fit(sizes[:5], [3 * n**-0.25 * e for n, e in zip(sizes[:5], noise, strict=False)])
        assert law is not None
        assert law.interval is not None
        covered += law.interval[0] <= 3 * 3200**-0.25 * noise[5] <= law.interval[1]
    assert 0.9 < covered / 300 < 0.99


def test_two_points_give_a_law_without_an_interval_and_one_gives_none() -> None:
    law = fit([100, 200], [0.4, 0.2])
    assert law is not None
    assert law.interval is None
    assert fit([100, 100], [0.4, 0.2]) is None
    assert fit([100, 200], [0.4, 0.0]) is None


def test_a_ladder_that_does_not_fall_is_named() -> None:
    def ladder(size: str, losses: Sequence[float]) -> list[Point]:
        return [Point(size, size, 100 * 2**n, 9, loss, 1, 1) for n, loss in enumerate(losses)]

    points = {"narrow": ladder("narrow", [0.3, 0.4]), "wide": ladder("wide", [0.3, 0.2])}
    laws = {
        name: law
        for name, each in points.items()
        if (law := fit([100, 200], [p.loss for p in each]))
    }
    (problem,) = Scaled(points, laws, {}).problems()
    assert problem.startswith("the ladder narrow: the loss goes from 0.3 to 0.4 with 2 times")


def test_a_paired_test_gives_the_numbers_of_students_sleep_data() -> None:
    """Student 1908, The Probable Error of a Mean: two drugs, ten patients each."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    effect = paired(first, second)
    assert effect.mean == pytest.approx(1.58)
    assert (effect.low, effect.high) == pytest.approx((0.7001142, 2.4598858))
    assert effect.p == pytest.approx(0.00283289)


def test_holm_adjusts_by_rank_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_differences_without_spread_are_no_evidence_and_no_nan() -> None:
    baseline = {0: 0.5, 1: 0.7}
    effects = compare(baseline, {"same": dict(baseline), "shifted": {0: 0.6, 1: 0.8}})
    found = Ablated(
        "validation/loss", "lowest", {"baseline": baseline, "same": baseline}, effects, {}
    )
    assert found.verdict("same") == "changes nothing: identical in each of 2 seeds"
    assert effects["shifted"].mean == pytest.approx(0.1)
    assert not effects["shifted"].is_certain
    assert compare({0: 0.5}, {"once": {0: 0.4}}) == {}


def test_a_harm_is_told_from_a_gain_in_either_direction() -> None:
    values = {"baseline": {s: 0.5 + s / 100 for s in range(5)}}
    values["change"] = {s: value + 0.2 + s / 1000 for s, value in values["baseline"].items()}
    effects = compare(values["baseline"], {"change": values["change"]})
    for best_is, verdict in (
        ("lowest", "m is worse by 0.202"),
        ("highest", "m is better by 0.202"),
    ):
        found = Ablated("m", best_is, values, effects, {})
        assert found.verdict("change").startswith(verdict)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A study that writes to a folder of the test's own, and trains nothing."""
    stated = read(CONFIGS / "tune.toml")
    stated.pop("tune")
    project = Path(__file__).parents[1]
    data = stated.setdefault("data", {})
    path = Config().data.path
    if (project / path).exists():
        data["path"] = str(project / path)
    data["cache_dir"] = str(tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    return from_dict(stated)


class Trained(Child):
    """Ends at once, as a run would, and counts."""

    count = 0

    def poll(self) -> bool:
        if not self.run.outcome.exists():
            Trained.count += 1
            settings = self.run.read_provenance()["config"]
            value = settings["training"]["learning_rate"]
            line = {
                "step": settings["training"]["max_steps"],
                settings["checkpoint"]["metric"]: value,
            }
            self.run.metrics.write_text(json.dumps(line) + "\n", encoding="utf-8")
            ended = {"best_value": value, "best_step": line["step"], "seconds": 1.0, "memory": 1}
            self.run.write_outcome(
                {"step": line["step"], "ended_by": "training.max_steps", **ended}
            )
        return True


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> type[Trained]:
    """Replaces training. Counts the runs."""
    for module in (runs, trials):
        monkeypatch.setattr(module, "Child", Trained)
        monkeypatch.setattr(runs, "POLL", 0)
    Trained.count = 0
    return Trained


def test_what_is_trained_is_not_trained_again(config: Config, trained: type[Trained]) -> None:
    folder = runs.study_folder("study")
    configs = {"one": config, "two": config}
    for _ in range(2):
        outcomes, failures = train_all(folder, configs, 2, Console(quiet=True))
        assert set(outcomes) == {"one", "two"}
        assert not failures
    assert trained.count == 2


def test_a_run_with_other_settings_is_refused_with_the_way_out(config: Config) -> None:
    folder = runs.study_folder("study")
    open_run(folder, "one", config)
    other = from_dict(merge(to_dict(config), {"seed": 9}))
    with pytest.raises(RunError, match=r"(?s)seed: was 0, now 9.*--study NAME, or delete"):
        open_run(folder, "one", other)


def test_a_study_keeps_away_from_runs_and_other_folders(config: Config) -> None:
    open_run(Path("runs"), "small", config)
    for name, message in (("small", "is a run"), ("../up", "name of a folder"), ("", "folder")):
        with pytest.raises(RunError, match=message):
            runs.study_folder(name)


def test_trials_are_kept_and_the_best_becomes_a_config(
    config: Config, trained: type[Trained]
) -> None:
    plan = TunePlan.parse(
        {"trials": 6, "space": {"training": {"learning_rate": {"low": 1e-3, "high": 1e-2}}}}, config
    )
    folder = runs.study_folder("study")
    found = tuning.tune(plan, config, folder, "", 1, Console(quiet=True))
    found = tuning.tune(plan, config, folder, "", 1, Console(quiet=True))
    assert trained.count == len(found.trials) == 6
    assert found.trials[0].params == {RATE: config.training.learning_rate}
    tuning.write_report(folder / "report.html", found)
    best = folder / "best.toml"
    tuning.write_best(best, found, {"seed": 0})
    assert best.read_text(encoding="utf-8").startswith("# Trial ")
    lowest = min(each.params[RATE] for each in found.complete)
    assert from_dict(read(best)).training.learning_rate == lowest
    other = from_dict(merge(to_dict(config), {"seed": 1}))
    with pytest.raises(RunError, match=r"was begun otherwise:\n  seed: was 0, now 1"):
        tuning.tune(plan, other, folder, "", 1, Console(quiet=True))


def test_a_trial_that_nobody_looks_after_is_finished(
    config: Config, trained: type[Trained]
) -> None:
    table = {"trials": 2, "space": {"training": {"learning_rate": {"low": 1e-3, "high": 1e-2}}}}
    plan, folder = TunePlan.parse(table, config), runs.study_folder("study")
    study, storage = trials.open_study(folder, "", config)
    left = trials.Trials(study, storage, plan, config, folder, 1)
    view = runs.View(Console(quiet=True), 2)
    job = next(left.jobs(view))
    assert job is not None
    del job, left  # and with it the lock, as in a process that was killed
    with (folder / "journal.log").open("ab") as journal:
        journal.write(b'{"torn')
    found = tuning.tune(plan, config, folder, "", 1, Console(quiet=True))
    assert [each.state for each in found.trials] == [TrialState.COMPLETE] * 2
    assert trained.count == 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "could not parse|Could not parse"),
        ("nosuch://me:secret@host/db", "nosuch"),
        ("postgresql+pg8000://me:secret@host/db", "Install the driver"),
    ],
)
def test_a_database_that_is_none_gets_a_line_without_the_password(
    url: str, message: str, config: Config, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=message) as refused:
        trials.open_study(tmp_path / "study", url, config)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_passwords_of_addresses_are_starred() -> None:
    for text, expected in (
        ("--storage=postgresql://me:a:b@c@host/db", "--storage=postgresql://me:***@host/db"),
        ("x://host/db?user=me&password=s3cret&a=1", "x://host/db?user=me&password=***&a=1"),
        ("configs/tune.toml", "configs/tune.toml"),
    ):
        assert without_passwords(text) == expected
