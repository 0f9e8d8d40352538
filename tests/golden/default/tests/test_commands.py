# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from digits import cli
from digits.config import Config, from_dict
from digits.errors import RunExistsError
from digits.models.network import Network, losses
from digits.protocols import Array
from digits.training import loop, overfit
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


def test_a_fraction_of_the_examples_is_a_subset_of_a_larger_one(workplace: Path) -> None:
    kept: list[set[str]] = []
    for fraction in (0.1, 0.5, 1.0):
        config = from_dict({"training": {"train_fraction": fraction}})
        examples = loop.load_split(config, "train")
        assert len(set(examples.ids)) == len(examples)
        kept.append(set(examples.ids))
    assert kept[0] < kept[1] < kept[2]
    assert len(kept[1]) == round(0.5 * len(kept[2]))


def test_the_outcome_has_all_that_a_study_needs(workplace: Path) -> None:
    half = ["--training.train-fraction", "0.5", "--training.max-steps", "2", *SHORT]
    assert cli.main(["train", "--run-name", "widths/one", *half]) == 0
    end = outcome("widths/one")
    assert set(end) >= {"step", "best_step", "best_value", "ended_by", "seconds", "memory"}
    assert (end["metric"], end["mode"]) == ("validation/loss", "min")
    run = Run.open(Path("widths/one"))
    assert run.read_provenance()["format"] == 1
    config = from_dict(run.read_provenance()["config"])
    training = loop.load_split(config, "train")
    network = loop.build_network(config, training)
    assert end["parameters"] == sum(weight.numel() for weight in network.parameters())
    assert end["train_examples"] == training.size > 0
    assert "examples_per_second" in run.timings.read_text(encoding="utf-8")


# --- one run, several processes -------------------------------------------------------------------


def process(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "digits.cli", "train", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src"), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_a_run_that_another_process_holds_ends_with_exit_code_3(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--run-name", "held", "--training.max-steps", "2", *SHORT]) == 0
    program = (
        "import sys; from filelock import FileLock\n"
        "with FileLock('runs/held/.lock'): print('locked', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    assert cli.main(["train", "--resume", "runs/held"]) == 3
    assert "runs/held is in use by another process" in capsys.readouterr().err
    holder.communicate()
    assert cli.main(["train", "--resume", "runs/held"]) == 0


def test_a_run_that_has_ended_is_left_as_it_is_and_other_settings_are_refused(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--or-resume", "--run-name", "a/b", "--training.max-steps", "2", *SHORT]
    assert cli.main(command) == 0
    files = sorted(path for path in Path("runs/a/b").rglob("*") if path.is_file())
    before = [(path, path.stat().st_mtime_ns) for path in files]
    capsys.readouterr()
    assert cli.main(command) == 0
    assert "has ended already" in capsys.readouterr().out
    assert [(path, path.stat().st_mtime_ns) for path in files] == before
    assert cli.main([*command, "--seed", "1"]) == 2
    assert "seed: was 0, now 1" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_polite_signal_before_the_first_step_ends_with_exit_code_75(
    number: signal.Signals,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(config: Config, split: str) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr(loop, "load_split", interrupted)
    before = signal.getsignal(number)
    assert cli.main(["train"]) == 75
    assert "stopped before the first step" in capsys.readouterr().err
    assert signal.getsignal(number) == before


def test_processes_that_create_the_same_run_at_once_train_it_once(workplace: Path) -> None:
    command = ["--or-resume", "--run-name", "same", "--training.max-steps", "20", *SHORT]
    both = [process(*command) for _ in range(2)]
    errors = [each.communicate()[1] for each in both]
    assert {each.returncode for each in both} <= {0, 3}, errors
    assert 0 in {each.returncode for each in both}
    assert "Traceback" not in "".join(errors)
    assert outcome("same")["step"] == 20
    folders = [path for path in Path("runs").iterdir() if (path / "config.toml").exists()]
    assert [path.name for path in folders] == ["same"], "none is left half-created"


def test_a_run_that_appears_meanwhile_is_resumed(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Run.create

    def late(name: str, config: Config, data: str, **options: bool) -> Run:
        create(name, config, data)
        raise RunExistsError(f"{name} exists")

    monkeypatch.setattr(Run, "create", late)
    command = ["train", "--run-name", "late", "--training.max-steps", "2", *SHORT]
    assert cli.main([*command, "--or-resume"]) == 0
    assert outcome("late")["step"] == 2


def test_a_run_is_not_put_into_another(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--debug"]) == 0
    assert cli.main(["train", "--run-name", "debug/inner"]) == 2
    assert "debug is a run; expected the name of a study" in capsys.readouterr().err


# --- progress, profile and debugging --------------------------------------------------------------


def test_the_live_view_shows_all_that_debugging_needs(workplace: Path) -> None:
    run = Run.create("seen", Config(), "data", scratch=True)
    console = Console(force_terminal=True, width=100, record=True)
    monitor = Monitor(run, Config(), console)
    metrics = {"train/loss": 0.5, "train/gradient_norm": 2.0, "train/learning_rate": 1e-3}
    with monitor.running(0):
        monitor.log(10, metrics | {"validation/loss": 0.25}, examples=32, memory=123_000_000)
        monitor.log(20, metrics, examples=32, memory=124_000_000)
    said = console.export_text()
    for expected in ("loss 0.5", "validation/loss 0.25 at 10", "gradient_norm 2", "124 MB"):
        assert expected in said
    assert "learning_rate 0.001" in said
    assert "examples/s" in said
    assert "left 0:" in said


def test_a_profile_names_the_costliest_operations_and_leaves_a_trace(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--profile", *SMALL]) == 0
    said = capsys.readouterr().out
    assert "Self CPU" in said
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


def test_a_network_that_ignores_its_inputs_fails_to_overfit(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    see = Network.forward

    def look_away(self: Network, inputs: torch.Tensor) -> torch.Tensor:
        return see(self, torch.zeros_like(inputs))

    monkeypatch.setattr(Network, "forward", look_away)
    assert study(*SMALL) == 1
    said = capsys.readouterr().out
    assert "FAILED  overfitting a few batches: loss" in said
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


def test_weights_that_begin_too_large_show_in_the_initial_loss(
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
    assert "FAILED  initial loss:" in capsys.readouterr().out


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
