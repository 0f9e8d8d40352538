# The template's: updates improve this file and keep your edits.
# pyright: standard
import copy
import hashlib
import json
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from digits.config import CheckpointConfig, Config, TrainingConfig, from_dict, merge
from digits.data.dataset import Dataset
from digits.data.loader import batch_keys
from digits.errors import CheckpointError, TrainingError
from digits.training import checkpoint, logger, loop
from digits.training.checkpoint import CheckpointManager, TrainState
from digits.training.logger import read_metrics
from digits.training.optimizer import build_optimizer, learning_rate, tree_sum
from digits.training.run import Run
from digits.training.writer import checkpoint_writer

Fit = Callable[..., TrainState]


@pytest.fixture
def fit(settings: Mapping[str, Any], run: Run, train_set: Dataset, test_set: Dataset) -> Fit:
    """Trains `run`; with other settings of a section, such as `training={"patience": 2}`."""

    def fit(**sections: Mapping[str, Any]) -> TrainState:
        config = from_dict(merge(settings, sections))
        return loop.train(config, run, train_set, test_set)

    return fit


def outcome(run: Run) -> dict[str, Any]:
    return json.loads(run.outcome_path.read_text())


def test_the_learning_rate_rises_linearly_and_decays_as_a_cosine() -> None:
    config = TrainingConfig(max_steps=60, warmup_steps=10, learning_rate=0.5)
    key_points = {0: 0.05, 4: 0.25, 9: 0.5, 10: 0.5, 35: 0.25, 60: 0.0}
    assert {step: learning_rate(step, config) for step in key_points} == pytest.approx(key_points)


def test_a_batch_in_parts_gives_the_same_step(
    settings: Mapping[str, Any], config: Config, train_set: Dataset
) -> None:
    cpu, model = torch.device("cpu"), loop.build_model(config, train_set, torch.device("cpu"))
    results: list[list[Tensor]] = []
    for parts in (1, 4):
        in_parts = from_dict(merge(settings, {"training": {"parts": parts}}))
        trained = copy.deepcopy(model).eval()
        state = TrainState({}, torch.optim.SGD(trained.parameters(), lr=0.1))
        batches = replace(train_set, augmentation=None).batches(4 // parts)
        loss, norm = loop.train_step(trained, state, batches, cpu, in_parts)
        results.append([loss, norm, *trained.parameters()])
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-5)


def test_gradients_are_added_in_the_order_of_a_tree() -> None:
    weight = nn.Parameter(torch.zeros(()))

    def backward(part: int) -> Tensor:
        weight.grad = torch.tensor(values[part])
        return torch.tensor(values[part])

    values = [1.0, 1e8, -1e8, 1.0, 1.0]
    tree = torch.tensor(1.0 + 1e8) + torch.tensor(-1e8 + 1.0) + torch.tensor(1.0)
    assert tree_sum(backward, range(5), [weight]) == tree == weight.grad


def test_a_run_logs_its_metrics_and_records_how_it_ended(
    config: Config, fit: Fit, run: Run
) -> None:
    state = fit()
    assert outcome(run).items() >= {"step": 8, "ended_by": "training.max_steps"}.items()
    history = read_metrics(run.folder / "metrics.jsonl")
    assert [line["step"] for line in history] == [2, 4, 6, 8]
    assert {"train/loss", "train/gradient_norm", "train/learning_rate"} <= history[0].keys()
    values = {line["step"]: line[config.checkpoint.metric] for line in history[1::2]}
    best = min(values.values()) if config.checkpoint.mode == "min" else max(values.values())
    assert values[state.best_step or 0] == state.best_value == best


def test_a_time_limit_ends_a_run(fit: Fit, run: Run) -> None:
    assert fit(training={"max_minutes": 1e-9}).step == 1
    assert outcome(run)["ended_by"] == "training.max_minutes"


def test_a_run_without_improvement_runs_out_of_patience(
    config: Config, fit: Fit, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unchanging:
        def metrics(self) -> dict[str, float]:
            return {"loss": 1.0, config.checkpoint.metric.removeprefix("validation/"): 1.0}

    monkeypatch.setattr(loop, "predict", lambda *_: Unchanging())
    state = fit(training={"patience": 2, "evaluate_every": 1})
    assert (state.step, state.best_step) == (3, 1)
    assert outcome(run)["ended_by"] == "training.patience"


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_examples(
    config: Config, fit: Fit, run: Run, train_set: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    factors, losses = iter([1, 1, 1, 1, math.nan, 1]), loop.per_example_loss
    monkeypatch.setattr(loop, "per_example_loss", lambda *batch: losses(*batch) * next(factors))
    with pytest.raises(TrainingError, match="step 5: loss nan"):
        fit()
    (key,) = batch_keys(len(train_set), 4, config.seed, 4, 5)
    recorded = json.loads((run.folder / "nan_batch.json").read_text(encoding="utf-8"))
    assert recorded == {"step": 5, "ids": [train_set.ids[row] for row in key.rows]}
    assert CheckpointManager(run.folder / "checkpoints", config.checkpoint).latest() == 4


def test_a_tracker_that_fails_does_not_stop_the_run(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = SimpleNamespace(id="without any method")
    monkeypatch.setattr(logger, "open_tracker", lambda *_: broken)
    assert fit().step == 8
    assert capsys.readouterr().out.count("The tracker failed (AttributeError") == 1


def test_a_checkpoint_is_saved_whenever_it_is_due(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_step = {"every": 1, "minutes": 1e-9}  # whichever the chosen strategy has
    often = {name: every_step[name] for name in every_step if hasattr(CheckpointConfig(), name)}
    saved: list[int] = []
    monkeypatch.setattr(CheckpointManager, "save", lambda _, state, __: saved.append(state.step))
    fit(checkpoint=often)
    assert saved == list(range(1, 9))


@pytest.mark.parametrize("best", [None, 1, 4, 9])
def test_the_best_and_at_least_two_checkpoints_are_kept(best: int | None) -> None:
    steps = [1, 2, 4, 8, 9]
    kept = CheckpointConfig().to_keep(steps, best)
    assert {9, best or 9} <= kept <= set(steps)
    assert len(kept) >= 2


@pytest.fixture
def state() -> TrainState:
    """After a step. The layers have tied weights, and batch normalization has buffers."""
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    state = TrainState({"model": model}, build_optimizer(model, TrainingConfig()))
    advance(state)
    return state


def advance(state: TrainState) -> None:
    state.modules["model"](torch.randn(4, 3)).square().mean().backward()
    state.optimizer.step()
    state.step += 1


@pytest.fixture
def manager(state: TrainState, tmp_path: Path) -> CheckpointManager:
    """With a checkpoint of the state."""
    manager = CheckpointManager(tmp_path / "checkpoints", CheckpointConfig())
    manager.remove_temporary_files()
    save(manager, state)
    return manager


def save(manager: CheckpointManager, state: TrainState) -> None:
    with checkpoint_writer() as write:
        manager.save(state, write)


def test_a_checkpoint_restores_weights_and_optimizer_bit_for_bit(
    manager: CheckpointManager, state: TrainState
) -> None:
    model = state.modules["model"]
    saved = copy.deepcopy([model.state_dict(), state.optimizer.state_dict()["state"]])
    advance(state)
    manager.restore(state)
    restored = [model.state_dict(), state.optimizer.state_dict()["state"]]
    torch.testing.assert_close(restored, saved, rtol=0, atol=0)
    assert state.step == 1
    modes = {path.stat().st_mode for path in manager.path(1).iterdir()}
    assert len(modes) == 1, "whoever can read one file can read all"
    with pytest.raises(CheckpointError, match="weights of another network"):
        manager.load_weights(1, nn.Linear(3, 3))


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def forge(folder: Path) -> None:
    """A pickle in place of the weights, with the checksum that the manifest has."""
    pickled = pickle.dumps(nn.Linear(3, 3))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model.safetensors"] = hashlib.sha256(pickled).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "model.safetensors").write_bytes(pickled)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped bit": flip_a_bit,
    "pickle": forge,
    "missing file": lambda folder: (folder / "state.json").unlink(),
    "empty manifest": lambda folder: (folder / "manifest.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_corrupt_checkpoint_is_skipped_and_replaced(
    damage: Callable[[Path], object], manager: CheckpointManager, state: TrainState
) -> None:
    advance(state)
    save(manager, state)
    damage(manager.path(2))
    assert manager.latest() == 1
    assert manager.corrupt == {2}
    damage(manager.path(1))
    with pytest.raises(CheckpointError, match="train another run"):
        manager.latest()
    save(manager, state)
    assert manager.latest() == 2


def test_a_full_disk_leaves_the_earlier_checkpoints_intact(
    manager: CheckpointManager, state: TrainState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(_: object, folder: Path) -> NoReturn:
        (folder / "model.safetensors").write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(checkpoint, "save_files", write_half)
    advance(state)
    with pytest.raises(CheckpointError, match="Earlier checkpoints are intact"):
        save(manager, state)
    assert manager.latest() == 1
    assert [path.name for path in manager.folder.iterdir()] == ["step_00000001"]
