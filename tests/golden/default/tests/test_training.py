# The template's: updates improve this file and keep your edits.
from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import pickle
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import torch
from torch import nn

from digits import cli
from digits.config import (
    CheckpointConfig,
    Config,
    DataConfig,
    TrainingConfig,
    from_dict,
    read,
)
from digits.data import source
from digits.data.cache import digest
from digits.errors import CheckpointError, RunError
from digits.models.network import losses
from digits.protocols import Batch, Metrics, Record, Split
from digits.training import loop, tracking
from digits.training.checkpoint import CheckpointStore, State
from digits.training.device import Device
from digits.training.monitor import read_metrics, rewind
from digits.training.optimizer import build_optimizer, learning_rate
from digits.training.retention import Strategy
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
    checkpoints = CheckpointStore(folder, Strategy(CheckpointConfig()))
    checkpoints.sweep()
    return checkpoints


def save(checkpoints: CheckpointStore, state: State) -> None:
    writer = Writer()
    checkpoints.save(state, writer)
    writer.wait()


def tensors(state: State) -> dict[str, torch.Tensor]:
    files = state.tensors()
    return {f"{file}/{name}": each for file in files for name, each in files[file].items()}


def test_a_checkpoint_gives_back_weights_and_moments_bit_for_bit(tmp_path: Path) -> None:
    state = small_state()
    save(store(tmp_path), state)
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


def forge(checkpoint: Path, name: str, content: bytes) -> None:
    """Put something else into a file, and have the manifest say that it is right."""
    (checkpoint / name).write_bytes(content)
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    digest = hashlib.sha256(content).hexdigest()
    manifest[name] = {"bytes": len(content), "sha256": digest}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


def spoil_by_a_manifest_that_lies(checkpoint: Path) -> None:
    forge(checkpoint, "model.safetensors", b"no weights")


def spoil_by_the_state_of_another_step(checkpoint: Path) -> None:
    other = {"step": 7, "best_step": None, "best_value": None}
    forge(checkpoint, "state.json", json.dumps(other).encode())


class Trap:
    """Unpickled, it would leave a file."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (os.mkdir, ("sprung",))


def spoil_by_a_pickle_in_the_place_of_weights(checkpoint: Path) -> None:
    forge(checkpoint, "model.safetensors", pickle.dumps(Trap()))
    (checkpoint / "model.pt").write_bytes(pickle.dumps(Trap()))


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_by_flipping_a_bit,
        spoil_by_truncating,
        spoil_by_removing_a_file,
        spoil_by_a_manifest_without_entries,
        spoil_by_a_manifest_that_is_no_json,
        spoil_by_a_manifest_that_lies,
        spoil_by_the_state_of_another_step,
        spoil_by_a_pickle_in_the_place_of_weights,
    ],
)
def test_a_damaged_checkpoint_is_passed_over_named_and_replaced(
    spoil: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state, checkpoints = small_state(), store(tmp_path)
    for _ in range(2):
        save(checkpoints, state)
        advance(state)
    damaged = checkpoints.path(2)
    spoil(damaged)
    assert checkpoints.newest() == 1
    assert checkpoints.damaged == {2}
    state.step = 2
    save(checkpoints, state)
    assert store(tmp_path).newest() == 2
    assert not Path("sprung").exists()


def test_what_others_put_beside_the_checkpoints_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "step_00000009").write_text("a file by the name of a checkpoint")
    (tmp_path / "step_5").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    save(store(tmp_path), small_state())
    assert store(tmp_path).newest() == 1
    assert (tmp_path / "notes.txt").exists()


def test_a_damaged_checkpoint_does_not_count_among_those_that_stay(tmp_path: Path) -> None:
    state, checkpoints = small_state(), store(tmp_path)
    for state.step in (10, 20):
        save(checkpoints, state)
    spoil_by_truncating(checkpoints.path(20))
    checkpoints = store(tmp_path)
    checkpoints.restore(state)
    assert state.step == 10
    for state.step in (15, 25):  # other steps than before, as the clock has it
        save(checkpoints, state)
    assert checkpoints.newest() == 25
    assert 15 in checkpoints.steps()
    assert 20 not in checkpoints.steps()


def test_only_damaged_checkpoints_are_an_error_with_the_way_out(tmp_path: Path) -> None:
    save(store(tmp_path), small_state())
    spoil_by_truncating(tmp_path / "step_00000001")
    with pytest.raises(CheckpointError, match="delete that folder and resume"):
        store(tmp_path).newest()


def test_leftovers_of_a_crash_are_swept_and_never_read(tmp_path: Path) -> None:
    (tmp_path / ".tmp-00000009").mkdir()
    assert store(tmp_path).newest() is None
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_earlier_checkpoints_whole(tmp_path: Path) -> None:
    state, checkpoints = small_state(), store(tmp_path)
    save(checkpoints, state)
    advance(state)
    (tmp_path / ".tmp-00000002").write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match="earlier checkpoints are whole"):
        save(checkpoints, state)
    assert checkpoints.newest() == 1


@pytest.mark.parametrize("best", [None, 1, 4, 9])
def test_the_best_and_at_least_two_checkpoints_stay(best: int | None) -> None:
    steps = [1, 2, 4, 8, 9]
    kept = Strategy(CheckpointConfig()).retained(steps, best)
    assert 9 in kept
    assert best is None or best in kept
    assert 2 <= len(kept) <= len(steps)
    assert kept <= set(steps)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    save(store(tmp_path), small_state())
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


def test_gradients_are_clipped_and_weights_updated_as_pytorch_does(tmp_path: Path) -> None:
    config = Config(training=TrainingConfig(gradient_clip=0.01, weight_decay=0.1))
    inputs, labels = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    state = small_state()
    state.model.train()
    expected = copy.deepcopy(state.model)
    matrices = [each for each in expected.parameters() if each.ndim >= 2]
    others = [each for each in expected.parameters() if each.ndim < 2]
    rate = config.training.learning_rate
    state.optimizer = build_optimizer(state.model, config.training)
    plain = [
        torch.optim.AdamW(matrices, lr=rate, weight_decay=0.1),
        torch.optim.AdamW(others, lr=rate, weight_decay=0.0),
    ]
    _, norm = loop.step(state, Batch(inputs, labels), Device(torch.device("cpu"), None), config)
    loop.losses(expected(inputs), labels).mean().backward()
    torch.nn.utils.clip_grad_norm_(expected.parameters(), 0.01)
    assert norm.item() > 0.01
    for optimizer in plain:
        optimizer.step()
    for one, other in zip(state.model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_rewinding_drops_later_lines_and_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    rewind(path, 2)
    assert [step for step, _ in read_metrics(path)] == [1, 2]


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


class Nowhere:
    """A tracker that keeps nothing; the chosen one is tried in test_resume.py."""

    id = "nowhere"

    def log(self, step: int, metrics: Metrics) -> None: ...

    def artifact(self, path: Path) -> None: ...

    def close(self, status: str) -> None: ...


def open_nowhere(run: Run, settings: object, step: int) -> Nowhere:
    return Nowhere()


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run commands in, with the project's own data if it has any."""
    monkeypatch.setattr(tracking, "open_tracker", open_nowhere)
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
    assert [step for step, _ in read_metrics(Path("runs/debug/metrics.jsonl"))] == [1, 2]
    assert cli.main(["evaluate", "runs/debug", "--debug"]) == 0
    report = Path("runs/debug/report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") >= 2
    assert "http" not in report
    assert "Next: " in capsys.readouterr().out


def test_run_json_has_all_that_it_takes_to_make_the_run_again(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        author = ("-c", "user.name=a", "-c", "user.email=a@localhost")
        done = subprocess.run(["git", *author, *arguments], check=True, capture_output=True)
        return done.stdout.decode().strip()

    git("init")
    for name, content in ((".gitignore", "runs/\ncache/\n"), ("model.py", "layers = 2\n")):
        Path(name).write_text(content, encoding="utf-8")
    git("add", ".")
    git("commit", "--message", "Two layers")
    Path("model.py").write_text("layers = 3\n", encoding="utf-8")
    Path("new.py").write_text("", encoding="utf-8")
    Path(".copier-answers.yml").write_text("_commit: 1.2.3\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["train", "--debug"])
    assert cli.main(["train", "--debug"]) == 0
    said = json.loads(Path("runs/debug/run.json").read_text(encoding="utf-8"))
    assert said["git"]["commit"] == git("rev-parse", "HEAD")
    assert "-layers = 2\n+layers = 3" in said["git"]["diff"]
    assert said["git"]["untracked"] == [".copier-answers.yml", "new.py"]
    assert said["command"] == ["train", "--debug"]
    assert said["seed"] == said["config"]["seed"] == 0
    assert said["config"] == read(Path("runs/debug/config.toml"))
    assert said["data"] == digest(loop.load_split(from_dict(said["config"]), "train").folder)
    assert said["template"] == "1.2.3"
    assert said["packages"]["torch"] == metadata.version("torch")
    assert said["python"] == platform.python_version()
    assert said["host"]["name"] == platform.node()
    assert said["device"]["type"] in {"cpu", "cuda", "mps"}
    assert len(said["id"]) == 32


def test_a_scratch_run_never_takes_the_place_of_another(workplace: Path) -> None:
    Run.create("debug", Config(), "data")
    assert cli.main(["train", "--debug"]) == 2
    assert not Run.open(Path("debug")).read_provenance()["scratch"]
    assert [path.name for path in Path("runs").iterdir() if path.name != "debug"] == []


def test_a_model_is_not_judged_by_records_that_it_may_have_learnt_from(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def swapped(record: Record, config: DataConfig) -> Split:
        split = original(record, config)
        swap: dict[Split, Split] = {"test": "validation", "validation": "test"}
        return swap.get(split, split)

    assert cli.main(["train", "--debug"]) == 0
    original = source.split_of
    monkeypatch.setattr(source, "split_of", swapped)
    monkeypatch.setattr(source, "fingerprint", repr)
    assert cli.main(["evaluate", "runs/debug", "--debug"]) == 2
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
    assert cli.main(["evaluate", "runs/debug", "--debug"]) == 0


def test_a_refused_study_leaves_the_earlier_one(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["overfit", "--debug"]) == 0
    assert cli.main(["overfit", "--debug", "--overfit.batches", "99999"]) == 2
    assert "overfit.batches = 99999: expected at most" in capsys.readouterr().err
    assert read_metrics(Path("runs/overfit-debug-few/metrics.jsonl")) != []


def test_a_run_does_not_go_back_behind_its_own_steps(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "--debug"]) == 0
    shorter = ["--training.max-steps", "1", "--allow-changes"]
    assert cli.main(["train", "--resume", "runs/debug", *shorter]) == 2
    assert "training.max_steps = 1: expected at least 2" in capsys.readouterr().err


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_with_step_records_and_rate(
    value: float,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[torch.Tensor] = []

    def breaks_in_the_fifth_step(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append(labels)
        return losses(logits, labels) * (value if len(seen) == 5 else 1.0)

    assert cli.main(["train", "--debug"]) == 0
    monkeypatch.setattr(loop, "losses", breaks_in_the_fifth_step)
    longer = ["--training.max-steps", "90", "--allow-changes"]
    longer += ["--training.log-every", "20", "--training.evaluate-every", "50"]
    assert cli.main(["train", "--resume", "runs/debug", *longer]) == 1
    said = capsys.readouterr().err
    broken = json.loads(Path("runs/debug/broken_batch.json").read_text(encoding="utf-8"))
    assert broken["step"] == 2 + 5, "found in the twentieth step, named by its own"
    assert f"step 7: train/loss is {value}" in said
    assert f"learning rate {broken['learning_rate']:g}" in said
    assert broken["records"][0] in said
    config = Config()
    training = loop.load_split(config, "train")
    ids = list(training.ids)
    rows = [ids.index(each) for each in broken["records"]]
    assert training.labels[rows].tolist() == seen[4].tolist()
    assert store(Path("runs/debug/checkpoints")).newest() == 2


def test_a_tracker_that_fails_is_said_once_and_every_line_is_written(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed: list[str] = []

    class Failing(Nowhere):
        def log(self, step: int, metrics: Metrics) -> None:
            raise ConnectionError("the server is gone")

        def close(self, status: str) -> None:
            closed.append(status)

    def open_failing(run: Run, settings: object, step: int) -> Failing:
        return Failing()

    monkeypatch.setattr(tracking, "open_tracker", open_failing)
    short = ["--training.max-steps", "2", "--training.warmup-steps", "0"]
    short += ["--training.log-every", "1"]
    assert cli.main(["train", "--run-name", "lone", *short]) == 0
    assert capsys.readouterr().out.count("The tracker failed (ConnectionError: the server") == 1
    assert [step for step, _ in read_metrics(Path("runs/lone/metrics.jsonl"))] == [1, 2]
    assert closed == ["interrupted"]


def test_a_broken_batch_is_named_even_where_its_checkpoint_failed(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise CheckpointError("the disk is full")

    class Late(Writer):
        """Fails when it is waited for, as a background writer may."""

        def write(self, tensors: object, commit: object) -> None: ...

        def wait(self) -> None:
            fail()

    def broken(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return losses(logits, labels) * math.nan

    monkeypatch.setattr(loop, "losses", broken)
    monkeypatch.setattr(loop, "Writer", Late)
    assert cli.main(["train", "--training.log-every", "1"]) == 1
    said = capsys.readouterr().err
    assert "train/loss is nan" in said
    assert "the disk is full" in said


def test_the_same_command_again_continues_the_run_for_a_scheduler(workplace: Path) -> None:
    command = ["train", "--or-resume", "--run-name", "job", "--training.max-steps", "6"]
    command += ["--training.warmup-steps", "0"]
    for _ in range(2):
        assert cli.main(command) == 0
    assert len(list(Path("runs").glob("*/config.toml"))) == 1


def test_a_run_is_made_again_from_what_it_says_of_itself(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--seed", "3", "--training.max-steps", "20", "--training.learning-rate", "0.01"]
    settings += ["--training.warmup-steps", "2", "--training.log-every", "1"]
    settings += ["--training.batch-size", "8"]
    assert cli.main(["train", "--run-name", "first", *settings]) == 0
    Path("runs/first/config.toml").write_text("seed = 4\n", encoding="utf-8")  # not what counts
    assert cli.main(["train", "--from-run", "runs/first"]) == 0
    for name in ("metrics.jsonl", "checkpoints/step_00000020/model.safetensors"):
        assert Path("runs/first", name).read_bytes() == Path("runs/first-again", name).read_bytes()
    again = Run.open(Path("first-again")).read_provenance()
    assert again["repeats"] == str(Path("runs/first"))
    assert again["device"]["type"] in {"cpu", "cuda", "mps"}
    assert "Different from when" not in capsys.readouterr().out
    first = Run.open(Path("first"))
    first.write_provenance(first.read_provenance() | {"python": "2.7"})
    assert cli.main(["train", "--from-run", "runs/first", "--run-name", "third"]) == 0
    assert "Different from when runs/first began: python was 2.7" in capsys.readouterr().out
