# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from digits import cli
from digits.commands import data, ledger
from digits.config import Config, from_dict
from digits.models.network import Network, losses
from digits.protocols import Array
from digits.studies import overfit
from digits.training import loop
from digits.training.monitor import Monitor, read_metrics, read_seconds
from digits.training.run import Run

PROJECT = Path(__file__).parents[1]
SMALL: list[str] = []
SHORT = ["--training.warmup-steps", "0", "--training.log-every", "1", *SMALL]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run commands in, with the project's own data if it has any."""
    if (PROJECT / "data").exists():
        (tmp_path / "data").symlink_to(PROJECT / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, text: str) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
    return Path(path)


# --- explore and the throwaway scripts ------------------------------------------------------------


def test_explore_runs_a_script_and_says_what_it_wrote(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = "import sys\nopen('runs/look.txt', 'w').write(sys.argv[1])\nprint('42 records')\n"
    write("scripts/throwaway/look.py", lines)
    Path("runs").mkdir()
    assert cli.main(["explore", "look", "closely"]) == 0
    said = capfd.readouterr().out
    assert "42 records" in said
    assert "What it wrote: runs/look.txt" in said
    assert Path("runs/look.txt").read_text(encoding="utf-8") == "closely"


def test_explore_fails_with_its_script_and_names_the_nearest_to_a_misspelt_one(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write("scripts/throwaway/look.py", "raise SystemExit(3)\n")
    assert cli.main(["explore", "look.py"]) == 1
    assert "Failed: it ended with 3" in capfd.readouterr().out
    assert cli.main(["explore", "lok"]) == 2
    assert "lok: no such script; did you mean look.py?" in capfd.readouterr().err


def test_status_names_the_scripts_that_are_past_their_date(workplace: Path) -> None:
    write("scripts/throwaway/README.md", "# What may live here\n")
    write("scripts/throwaway/fresh.py", "# Throwaway: may go after 2026-05-02.\n")
    write("scripts/throwaway/old.py", "# Throwaway: may go after 2026-04-30.\n")
    write("scripts/throwaway/timeless.py", "print(1)\n")
    found = list(data.expired(date(2026, 5, 1)))
    assert [line.partition(":")[0] for line in found] == [
        "scripts/throwaway/old.py",
        "scripts/throwaway/timeless.py",
    ]
    assert "was to go on 2026-04-30" in found[0]
    assert "has no date" in found[1]


# --- status ---------------------------------------------------------------------------------------


def standing(name: str) -> str:
    each = {each.name: each for each in ledger.Ledger().standings()}
    return str(each[name])


def test_a_step_counts_until_its_code_its_settings_or_its_data_change(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert standing("validate") == "not yet"
    config = write("first.toml", "[data]\ntest_fraction = 0.2\n")
    assert cli.main(["validate", "--config", "first.toml"]) == 0
    assert standing("validate") == "passed"

    config.write_text("[data]\ntest_fraction = 0.3\n", encoding="utf-8")
    assert standing("validate") == "passed, then changed: data.test_fraction, the data"
    config.write_text("[data]\ntest_fraction = 0.2\n", encoding="utf-8")
    assert standing("validate") == "passed"

    copied = workplace / "package"
    shutil.copytree(ledger.PACKAGE, copied)
    monkeypatch.setattr(ledger, "PACKAGE", copied)
    assert standing("validate") == "passed"
    for name in ("data/source.py", "models/network.py"):
        path = copied / name
        path.write_text(path.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    assert standing("validate") == "passed, then changed: data/source.py", "of what it looks at"


def test_a_step_that_failed_stands_as_failed_and_is_what_comes_next(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(overfit, "MARGIN", -9.0)
    config = str(PROJECT / "configs/overfit.toml")
    quick = ["--training.max-steps", "4", "--training.warmup-steps", "0"]
    assert cli.main(["overfit", "--config", config, *quick, *SMALL]) == 1
    assert standing("overfit") == "failed"
    capsys.readouterr()
    assert cli.main(["status"]) == 0
    said = capsys.readouterr().out
    assert "Next: digits explore" in said, "the first step that hasn't passed"
    assert "not yet" in said
    assert "failed" in said


def test_debug_counts_for_nothing(workplace: Path) -> None:
    assert cli.main(["train", "--debug"]) == 0
    assert standing("train") == "not yet"


def test_train_says_which_earlier_steps_have_not_passed_and_trains(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["validate", *SMALL]) == 0
    capsys.readouterr()
    assert cli.main(["train", "--training.max-steps", "2", *SHORT]) == 0
    warned = capsys.readouterr().out.partition("\n")[0]
    assert warned.startswith("Not passed for what is trained now: ")
    assert "4 overfit" in warned
    assert "2 validate" not in warned
    assert standing("train") == "passed"

    def other(config: Config) -> str:
        return "other"

    steps = json.loads(ledger.FILE.read_text(encoding="utf-8"))
    steps["validate"]["data"] = "other"  # as it is where it was validated with other settings
    ledger.FILE.write_text(json.dumps(steps), encoding="utf-8")
    monkeypatch.setattr(ledger, "present_data", other)
    assert cli.main(["train", "--run-name", "b", "--training.max-steps", "2", *SHORT]) == 0
    assert "2 validate (on other data)" in capsys.readouterr().out.partition("\n")[0]


# --- the end of a run -----------------------------------------------------------------------------


def outcome(name: str) -> dict[str, object]:
    return json.loads(Path("runs", name, "outcome.json").read_text(encoding="utf-8"))


def test_patience_ends_a_run_that_gets_no_better_and_resuming_it_changes_nothing(
    workplace: Path,
) -> None:
    stuck = ["--training.learning-rate", "1e-12", "--training.max-steps", "40", *SHORT]
    stuck += ["--training.evaluate-every", "2", "--training.patience", "6"]
    assert cli.main(["train", "--run-name", "stuck", *stuck]) == 0
    steps = [step for step, _ in read_metrics(Path("runs/stuck/metrics.jsonl"))]
    best = outcome("stuck")["best_step"]
    assert isinstance(best, int)
    assert steps[-1] == min(40, best + 6)
    before = Path("runs/stuck/metrics.jsonl").read_bytes()
    assert cli.main(["train", "--resume", "runs/stuck"]) == 0
    assert Path("runs/stuck/metrics.jsonl").read_bytes() == before


def test_a_budget_of_time_ends_a_run_with_an_evaluation_and_a_checkpoint(
    workplace: Path,
) -> None:
    budget = ["--training.max-minutes", "0.00001", "--training.max-steps", "500", *SHORT]
    assert cli.main(["train", "--run-name", "brief", *budget]) == 0
    found = outcome("brief")
    assert found["ended_by"] == "training.max_minutes"
    steps, last = read_metrics(Path("runs/brief/metrics.jsonl"))[-1]
    assert steps == found["step"] == found["best_step"]
    assert "validation/loss" in last
    assert cli.main(["evaluate", "runs/brief"]) == 0


def test_the_time_of_a_resumed_run_adds_up(workplace: Path) -> None:
    assert cli.main(["train", "--run-name", "long", "--training.max-steps", "4", *SHORT]) == 0
    before = read_seconds(Path("runs/long/timings.jsonl"))
    more = ["--training.max-steps", "8", "--allow-changes"]
    assert cli.main(["train", "--resume", "runs/long", *more]) == 0
    assert read_seconds(Path("runs/long/timings.jsonl")) > before > 0


def test_a_share_of_the_records_is_part_of_a_larger_share(workplace: Path) -> None:
    kept: list[set[str]] = []
    for share in (0.1, 0.5, 1.0):
        records = loop.records(from_dict({"training": {"share": share}}), "train")
        assert len(set(records.ids)) == len(records)
        kept.append(set(records.ids))
    assert kept[0] < kept[1] < kept[2]
    assert len(kept[1]) == round(0.5 * len(kept[2]))


# --- what is seen of a run ------------------------------------------------------------------------


def test_the_live_view_shows_all_that_debugging_needs(workplace: Path) -> None:
    run = Run.create("seen", Config(), "data", scratch=True)
    console = Console(force_terminal=True, width=100, record=True)
    monitor = Monitor(run, Config(), console)
    metrics = {"train/loss": 0.5, "train/gradient_norm": 2.0, "train/learning_rate": 1e-3}
    with monitor.running(0):
        monitor.log(10, metrics | {"validation/loss": 0.25}, records=32, memory=123_000_000)
        monitor.log(20, metrics, records=32, memory=124_000_000)
    said = console.export_text()
    for expected in ("loss 0.5", "validation/loss 0.25 at 10", "gradient_norm 2", "124 MB"):
        assert expected in said
    assert "learning_rate 0.001" in said
    assert "records/s" in said
    assert "left 0:" in said


def test_runs_lists_all_of_them_and_compares_what_differs(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["runs"]) == 0
    assert "no runs yet" in capsys.readouterr().out
    for name, rate in (("slow", "0.001"), ("fast", "0.01")):
        options = ["--training.max-steps", "2", "--training.learning-rate", rate, *SHORT]
        assert cli.main(["train", "--run-name", name, *options]) == 0
    Path("runs/fast/outcome.json").unlink()  # as a kill would leave it
    capsys.readouterr()
    assert cli.main(["runs"]) == 0
    listed = capsys.readouterr().out
    assert listed.index("slow") < listed.index("fast"), "the newest last"
    assert "done" in listed
    assert "stopped" in listed
    assert cli.main(["runs", "slow", "fast"]) == 0
    compared = capsys.readouterr().out
    line = next(line for line in compared.splitlines() if "learning_rate " in line)
    assert line.split() == ["training.learning_rate", "0.001", "0.01"]
    assert "training.max_steps" not in compared, "it is the same"
    assert "last validation/loss" in compared
    assert cli.main(["runs", "slw"]) == 2
    assert "did you mean runs/slow?" in capsys.readouterr().err


def test_a_profile_names_the_costliest_operations_and_leaves_a_trace(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--profile", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "ms a step" in said
    assert sum("%" in line for line in said.splitlines()) == 10
    trace = json.loads(Path("runs/profile/trace.json").read_text(encoding="utf-8"))
    whole = [each for each in trace["traceEvents"] if each.get("ph") == "X"]
    assert any(each["name"].startswith("ProfilerStep") for each in whole)
    assert all({"ts", "dur", "pid", "tid"} <= set(each) for each in whole)
    assert Run.open(Path("profile")).read_provenance()["scratch"]


def test_debug_names_the_operation_behind_a_gradient_that_is_not_a_number(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (losses(logits, labels) * 0.0).sqrt()  # whose slope at 0 is infinite

    monkeypatch.setattr(loop, "losses", broken)
    with pytest.warns(UserWarning, match="Traceback of forward call"):
        assert cli.main(["train", "--debug"]) == 1
    assert "Function 'MulBackward0' returned nan values" in capsys.readouterr().err


# --- overfit --------------------------------------------------------------------------------------


def study(*options: str) -> int:
    return cli.main(["overfit", "--config", str(PROJECT / "configs/overfit.toml"), *options])


QUICK = ("--training.max-steps", "4", "--training.warmup-steps", "0", *SMALL)


def test_the_overfit_study_passes_with_its_config(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study() == 0
    said = capsys.readouterr().out
    assert sum(line.startswith("passed ") for line in said.splitlines()) == 4


def test_a_network_that_ignores_its_inputs_learns_nothing_by_heart(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    see = Network.forward

    def look_away(self: Network, inputs: torch.Tensor) -> torch.Tensor:
        return see(self, torch.zeros_like(inputs))

    monkeypatch.setattr(Network, "forward", look_away)
    assert study(*SMALL) == 1
    said = capsys.readouterr().out
    assert "FAILED  learning by heart: loss" in said
    assert [f"{number}. " in said for number in (1, 2, 3, 4)] == [True, True, True, False]


def test_a_layer_that_is_never_called_is_named(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Network.__init__

    def with_a_spare(self: Network, *arguments: object) -> None:
        made(self, *arguments)  # pyright: ignore[reportArgumentType]
        self.spare = nn.Linear(2, 2)

    monkeypatch.setattr(Network, "__init__", with_a_spare)
    assert study(*QUICK) == 1
    said = capsys.readouterr().out
    assert "FAILED  gradients: reach" in said
    assert "not spare.weight, spare.bias" in said


def test_weights_that_begin_too_large_show_in_the_first_loss(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Network.__init__

    def too_large(self: Network, *arguments: object) -> None:
        made(self, *arguments)  # pyright: ignore[reportArgumentType]
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(20)

    monkeypatch.setattr(Network, "__init__", too_large)
    assert study(*QUICK) == 1
    assert "FAILED  first loss:" in capsys.readouterr().out


def test_a_truth_that_reaches_the_model_past_its_labels_is_found(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Knowing:
        loss = 0.0

        def skill(self, training: Array) -> float:
            return 0.9

    def know(*arguments: object) -> Knowing:
        return Knowing()

    monkeypatch.setattr(overfit, "predict", know)
    assert study(*QUICK) == 1
    said = capsys.readouterr().out
    assert "FAILED  shuffled labels: skill 0.900" in said
    assert "1. the label is among the inputs" in said
