# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from digits import cli
from digits.config import CheckpointConfig, Config, TrainingConfig
from digits.errors import CheckpointError, RunError, TrainingError
from digits.eval.evaluate import Predictions
from digits.models.network import Network
from digits.training import loop
from digits.training.checkpoint import CheckpointStore, State
from digits.training.loop import require_finite
from digits.training.monitor import read_metrics, rewind
from digits.training.optimizer import build_optimizer, learning_rate
from digits.training.retention import retained
from digits.training.run import Run
from digits.training.writer import Writer


def small_state() -> State:
    """A network with tied weights and a buffer, and an optimizer that has made a step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    state = State(model, build_optimizer(model, TrainingConfig()))
    advance(state)
    return state


def advance(state: State) -> None:
    state.model(torch.randn(4, 3)).square().mean().backward()
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1


def store(folder: Path) -> CheckpointStore:
    checkpoints = CheckpointStore(folder, partial(retained, config=CheckpointConfig()))
    checkpoints.sweep()
    return checkpoints


def tensors(state: State) -> dict[str, torch.Tensor]:
    files = state.tensors()
    return {f"{file}/{name}": each for file in files for name, each in files[file].items()}


def test_a_checkpoint_gives_back_weights_and_moments_bit_for_bit(tmp_path: Path) -> None:
    state = small_state()
    store(tmp_path).save(state, Writer())
    saved = copy.deepcopy(tensors(state))
    other = small_state()
    advance(other)
    store(tmp_path).restore(other)
    assert other.step == 1
    assert saved.keys() == tensors(other).keys()
    assert all(torch.equal(saved[name], each) for name, each in tensors(other).items())


def spoil_by_flipping_a_bit(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def spoil_by_truncating(checkpoint: Path) -> None:
    path = checkpoint / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


def spoil_by_removing_a_file(checkpoint: Path) -> None:
    (checkpoint / "state.json").unlink()


def spoil_by_a_manifest_without_entries(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").write_text("{}")


def spoil_by_a_manifest_that_is_no_json(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_by_flipping_a_bit,
        spoil_by_truncating,
        spoil_by_removing_a_file,
        spoil_by_a_manifest_without_entries,
        spoil_by_a_manifest_that_is_no_json,
    ],
)
def test_a_damaged_checkpoint_is_passed_over_named_and_replaced(
    spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    state, checkpoints = small_state(), store(tmp_path)
    for _ in range(2):
        checkpoints.save(state, Writer())
        advance(state)
    damaged = checkpoints.path(2)
    spoil(damaged)
    assert checkpoints.newest() == 1
    assert checkpoints.damaged == [str(damaged)]
    state.step = 2
    checkpoints.save(state, Writer())
    assert store(tmp_path).newest() == 2


def test_only_damaged_checkpoints_are_an_error_with_the_way_out(tmp_path: Path) -> None:
    store(tmp_path).save(small_state(), Writer())
    spoil_by_truncating(tmp_path / "step_00000001")
    with pytest.raises(CheckpointError, match="delete that folder and resume"):
        store(tmp_path).newest()


def test_leftovers_of_a_crash_are_swept_and_never_read(tmp_path: Path) -> None:
    (tmp_path / ".tmp-00000009").mkdir()
    assert store(tmp_path).newest() is None
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_earlier_checkpoints_whole(tmp_path: Path) -> None:
    state, checkpoints = small_state(), store(tmp_path)
    checkpoints.save(state, Writer())
    advance(state)
    (tmp_path / ".tmp-00000002").write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match="earlier checkpoints are whole"):
        checkpoints.save(state, Writer())
    assert checkpoints.newest() == 1


@pytest.mark.parametrize("best", [None, 1, 4, 9])
def test_the_best_and_at_least_two_checkpoints_stay(best: int | None) -> None:
    steps = [1, 2, 4, 8, 9]
    kept = retained(steps, best, CheckpointConfig())
    assert 9 in kept
    assert best is None or best in kept
    assert 2 <= len(kept) <= len(steps)
    assert kept <= set(steps)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    store(tmp_path).save(small_state(), Writer())
    with pytest.raises(CheckpointError, match="another network"):
        store(tmp_path).load_model(1, nn.Linear(3, 3))


def test_the_learning_rate_warms_up_then_follows_pytorchs_cosine() -> None:
    config = TrainingConfig(max_steps=60, warmup_steps=10, learning_rate=0.5)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=0.5)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=9)
    expected: list[float] = []
    for _ in range(10):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        warmup.step()
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for _ in range(50):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    assert [learning_rate(step, config) for step in range(60)] == pytest.approx(expected)


def test_only_matrices_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    decayed, spared = build_optimizer(model, TrainingConfig(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert [each.ndim for each in decayed["params"]] == [2]
    assert [each.ndim for each in spared["params"]] == [1, 1, 1]


def test_a_loss_that_is_not_finite_stops_training_with_step_and_rate(tmp_path: Path) -> None:
    metrics = {"train/loss": math.nan, "train/learning_rate": 0.1}
    with pytest.raises(TrainingError, match=r"step 1: .*nan.* learning rate 0\.1"):
        require_finite(metrics, small_state(), store(tmp_path))


def test_rewinding_drops_later_lines_and_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    rewind(path, 2)
    assert [line["step"] for line in read_metrics(path)] == [1, 2]


def test_a_run_that_exists_is_refused_with_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Run.create("one", Config(), "data")
    with pytest.raises(RunError, match=r"--resume runs.one, or .* --run-name"):
        Run.create("one", Config(), "data")
    with pytest.raises(RunError, match=r"did you mean runs.one\?"):
        Run.open(Path("runs/ane"))


def test_a_changed_config_or_other_data_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run.create("one", Config(), "data")
    run.require_same(Config(), "data")
    with pytest.raises(RunError, match=r"seed: was 0, now 1(.|\n)*--allow-changes"):
        run.require_same(Config(seed=1), "data")
    with pytest.raises(RunError, match="was data, now others"):
        run.require_same(Config(), "others")


def test_a_second_process_is_kept_out_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run.create("one", Config(), "data")
    with run.locked(), pytest.raises(RunError, match="in use"), run.locked():
        pass


def test_confusion_accuracy_and_mistakes_agree() -> None:
    found = Predictions(
        labels=torch.tensor([0, 0, 1, 1]).numpy(),
        probabilities=torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]]).numpy(),
        losses=torch.tensor([0.1, 1.6, 0.5, 1.2]).numpy(),
    )
    assert found.confusion().tolist() == [[1, 1], [1, 1]]
    assert found.accuracy == 0.5
    assert found.worst_mistakes(9).tolist() == [1, 3]
    low, high = found.accuracy_interval()
    assert (low, high) == pytest.approx((0.15004, 0.84996), abs=1e-4)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run commands in, with the project's own data if it has any."""
    project = Path(__file__).parents[1]
    if (project / "data").exists():
        (tmp_path / "data").symlink_to(project / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_debug_trains_and_evaluates_in_two_batches(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # a debug run is scratch: the second takes the first one's place
        assert cli.main(["train", "--debug"]) == 0
    assert [line["step"] for line in read_metrics(Path("runs/debug/metrics.jsonl"))] == [1, 2]
    assert cli.main(["evaluate", "runs/debug"]) == 0
    report = Path("runs/debug/report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") >= 2
    assert "http" not in report
    provenance = json.loads(Path("runs/debug/run.json").read_text(encoding="utf-8"))
    assert provenance["seed"] == 0
    assert provenance["packages"]["torch"]
    assert "Next: " in capsys.readouterr().out


def test_a_scratch_run_never_takes_the_place_of_another(workplace: Path) -> None:
    Run.create("debug", Config(), "data")
    assert cli.main(["train", "--debug"]) == 2
    assert not Run.open(Path("debug")).read_provenance()["scratch"]
    assert [path.name for path in Path("runs").iterdir() if path.name != "debug"] == []


def test_a_model_is_not_judged_by_records_that_it_may_have_learnt_from(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--debug"]) == 0
    assert cli.main(["evaluate", "runs/debug", "--data.test-fraction", "0.5"]) == 2
    assert "trained on other records or splits" in capsys.readouterr().err


def test_a_config_that_was_edited_in_the_run_is_refused_and_insisting_is_remembered(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--debug"]) == 0
    run = Run.open(Path("debug"))
    text = run.config.read_text(encoding="utf-8")
    run.config.write_text(text.replace("max_steps = 2", "max_steps = 4"), encoding="utf-8")
    assert cli.main(["train", "--resume", "runs/debug"]) == 2
    assert "training.max_steps: was 2, now 4" in capsys.readouterr().err
    assert cli.main(["train", "--resume", "runs/debug", "--allow-changes"]) == 0
    assert run.read_provenance()["changes"][0]["config"]["training"]["max_steps"] == 2
    assert cli.main(["train", "--resume", "runs/debug"]) == 0


def test_a_run_outlives_settings_that_the_project_loses(workplace: Path) -> None:
    assert cli.main(["train", "--debug"]) == 0
    run = Run.open(Path("debug"))
    text = run.config.read_text(encoding="utf-8")
    run.config.write_text(text.replace("[checkpoint]", "[checkpoint]\nlost = 3"), encoding="utf-8")
    before = run.read_provenance()
    before["config"]["checkpoint"]["lost"] = 3
    run.write_provenance(before)
    assert cli.main(["train", "--resume", "runs/debug"]) == 0
    assert cli.main(["evaluate", "runs/debug"]) == 0


def test_a_refused_study_leaves_the_earlier_one(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["overfit", "--debug"]) == 0
    assert cli.main(["overfit", "--debug", "--overfit.batches", "99999"]) == 2
    assert "overfit.batches = 99999: expected at most" in capsys.readouterr().err
    assert read_metrics(Path("runs/overfit-debug-few/metrics.jsonl")) != []


def test_a_damaged_cache_is_named_with_the_way_out_before_a_run_is_made(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = ["--data.cache-dir", "cache"]
    assert cli.main(["validate", *cache]) == 0
    (inputs,) = workplace.glob("cache/*/train.inputs.npy")
    inputs.write_bytes(inputs.read_bytes()[:200])
    assert cli.main(["train", *cache]) == 2
    assert "delete it, and it is prepared again" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_run_does_not_go_back_behind_its_own_steps(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--debug"]) == 0
    shorter = ["--training.max-steps", "1", "--allow-changes"]
    assert cli.main(["train", "--resume", "runs/debug", *shorter]) == 2
    assert "training.max_steps = 1: expected at least 2" in capsys.readouterr().err


def test_a_state_that_is_not_finite_is_never_saved(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits.sum(dim=1) * math.nan

    assert cli.main(["train", "--debug"]) == 0
    monkeypatch.setattr(loop, "losses", broken)
    longer = ["--training.max-steps", "9", "--training.log-every", "100", "--allow-changes"]
    assert cli.main(["train", "--resume", "runs/debug", *longer]) == 1
    assert "The last good checkpoint is that of step 2" in capsys.readouterr().err
    assert store(Path("runs/debug/checkpoints")).newest() == 2


def test_the_overfit_study_passes_with_its_config(workplace: Path) -> None:
    config = Path(__file__).parents[1] / "configs/overfit.toml"
    assert cli.main(["overfit", "--config", str(config)]) == 0


def test_the_overfit_study_fails_for_a_network_that_ignores_its_inputs(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    see = Network.forward

    def look_away(self: Network, inputs: torch.Tensor) -> torch.Tensor:
        return see(self, torch.zeros_like(inputs))

    monkeypatch.setattr(Network, "forward", look_away)
    config = Path(__file__).parents[1] / "configs/overfit.toml"
    assert cli.main(["overfit", "--config", str(config)]) == 1
    assert "the model can't learn a few batches" in capsys.readouterr().out
