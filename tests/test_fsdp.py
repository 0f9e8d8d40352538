"""Several processes, of which each has a shard of the model, train a run and read its checkpoints.

One script imports PyTorch once, and forks all processes: see DRIVER.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rendering import render
from studies import ENVIRONMENT, PYTHON

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not ENVIRONMENT.exists(), reason=f"{ENVIRONMENT} doesn't exist: make check creates it"
    ),
]

# What a group of processes does. Each has a standard output of its own.
DRIVER = """
import json, os, socket, sys, traceback
import sklearn.metrics, torch, torch.distributed.fsdp, torch.distributed.checkpoint

torch.set_num_threads(1)
sys.path[:0] = ["src", "."]

def group(name, count, *arguments):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # is free
    processes = []
    for rank in range(count):
        if process := os.fork():
            processes.append(process)
            continue
        if count > 1:
            variables = {"RANK": rank, "WORLD_SIZE": count, "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in variables.items()})
            os.environ["MASTER_ADDR"] = "127.0.0.1"
        for number in (1, 2):
            os.dup2(os.open(f"{name}-{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        code = 1
        try:
            import stages
            code = getattr(stages, name, stages.command)(*arguments)
        except SystemExit as error:
            code = error.code
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    results[name] = {"codes": codes, "outputs": [open(f"{name}-{n}").read() for n in range(count)]}

results, SETTINGS = {}, sys.argv[1:]
group("alone", 1, "train", "--run-name=alone", *SETTINGS)
group("unbroken", 2, "train", "--run-name=unbroken", *SETTINGS)
group("stopped", 2, "train", "--run-name=stopped", *SETTINGS)
group("resumed", 2, "train", "--resume=runs/stopped")
group("compared", 1)
group("evaluated", 1, "evaluate", "runs/unbroken")
group("exported", 1)
group("torn", 1)
for count in (1, 2, 3, 4):
    group(f"read_by_{count}", count, "runs/unbroken")
for count in (1, 2):
    group(f"read_by_{count}_of_alone", count, "runs/alone")
group("refused", 2)
json.dump(results, open("results.json", "w"))
"""

STAGES = """
import hashlib, os, signal, warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from digits.cli import main
from digits.config import from_dict
from digits.data import cache
from digits.errors import ConfigError
from digits.training import device, loop, processes
from digits.training.checkpoint import CheckpointManager, TrainState, optimizer_tensors
from digits.training.optimizer import build_optimizer
from digits.training.retention import CheckpointConfig
from digits.training.run import Run

CPU = torch.device("cpu")

def full(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor

def command(*arguments):
    return main(arguments)

def recording(*arguments):
    \"\"\"Keep the gradients of the first step.\"\"\"
    sum_and_clip, name = device.sum_and_clip, arguments[1].partition("=")[2]
    def sum_and_keep(weights, loss, max_norm):
        if not Path(f"{name}.safetensors").exists():
            gradients = {str(n): full(weight.grad).clone() for n, weight in enumerate(weights)}
            if processes.LEAD:
                save_file(gradients, f"{name}.safetensors")
        return sum_and_clip(weights, loss, max_norm)
    device.sum_and_clip = sum_and_keep
    return main(arguments)

alone = unbroken = recording

def stopped(*arguments):
    \"\"\"One process is told to stop in the third step.\"\"\"
    train_step = loop.train_step
    def step(model, state, *others):
        if state.step == 2 and processes.RANK == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_step(model, state, *others)
    loop.train_step = step
    return main(arguments)

def compared():
    \"\"\"Print the largest difference of a gradient, relative to its largest number.\"\"\"
    expected, found = load_file("alone.safetensors"), load_file("unbroken.safetensors")
    assert expected.keys() == found.keys()
    differences = [(found[n] - x).abs().max() / x.abs().max() for n, x in expected.items()]
    print(max(differences).item())

def exported():
    from digits.export import export
    export(Run.open(Path("runs/unbroken")), Path("exported"))
    found = load_file("exported/model.safetensors")
    folder = Path("runs/unbroken/checkpoints/step_00000006")
    first, second = (load_file(folder / f"model-0000{n}-of-00002.safetensors") for n in (1, 2))
    assert found.keys() == first.keys()
    for name in found.keys() & second.keys():  # the others are buffers
        assert torch.equal(found[name], torch.cat([first[name], second[name]]))

def torn():
    \"\"\"Print the newest checkpoint that is used without a shard, and with a damaged one.\"\"\"
    folder = Path("runs/stopped/checkpoints")
    shard = folder / "step_00000006/optimizer-00002-of-00002.safetensors"
    content = shard.read_bytes()
    shard.unlink()
    print(CheckpointManager(folder, CheckpointConfig()).latest())
    shard.write_bytes(content[:-100] + bytes(100))
    print(CheckpointManager(folder, CheckpointConfig()).latest())
    shard.write_bytes(content)

def read(run):
    \"\"\"Print a digest of what all processes have read together.\"\"\"
    values = Run.open(Path(run)).read_config()
    count = max(processes.WORLD, 1)
    values["training"] |= {"parts": 4 * count, "batch_size": 4 * count}
    config = from_dict(values)
    with device.process_group(config.training):
        model = loop.build_model(config, cache.load_split(config, "train"), CPU)
        state = TrainState({"model": model}, build_optimizer(model, config.training))
        folder = Path(run if processes.LEAD else f"runs/scratch-{processes.RANK}")
        manager = CheckpointManager(folder / "checkpoints", config.checkpoint)
        device.restore(state, manager)
        digest = hashlib.sha256()
        tensors = model.state_dict() | optimizer_tensors(state.optimizer)
        for name, tensor in sorted(tensors.items()):
            digest.update(name.encode() + full(tensor).numpy().tobytes())
        print(state.step, state.best_step, digest.hexdigest())
        if processes.WORLD == 1:
            reads_like_torch(manager.path(state.step), tensors)

def reads_like_torch(folder, tensors):
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint import HuggingFaceStorageReader
    found = {name: torch.full_like(tensor, -1) for name, tensor in tensors.items()}
    with warnings.catch_warnings(action="ignore"):  # that there is one process
        dcp.load(found, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())

read_by_1 = read_by_2 = read_by_3 = read_by_4 = read
read_by_1_of_alone = read_by_2_of_alone = read

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.head = nn.Linear(2, 2)

def refused():
    number, statistics, tied, fine = (Model() for _ in range(4))
    number.scale = nn.Parameter(torch.tensor(1.0))
    statistics.layers.append(nn.BatchNorm1d(2))
    tied.head.weight = tied.layers[0].weight
    fine.output = nn.Linear(2, 2)
    fine.output.weight = fine.head.weight  # neither is in a block
    fine.groups = nn.ModuleDict({"a": nn.ModuleList([nn.Linear(2, 3)])})
    fine.layers[0].requires_grad_(False)
    with device.process_group(from_dict({"training": {"batch_size": 2, "parts": 2}}).training):
        for model in (number, statistics, tied, fine):
            try:
                device.distribute(model, CPU)
                print("accepted")
            except ConfigError as error:
                print(error)
"""

SETTINGS = [
    "--config=configs/small.toml",
    "--data.path=src/digits/training/*.py",
    "--data.context=32",
    "--model.size=2",
    "--model.ngrams=1",
    "--model.dropout=0.1",
    "--training.max-steps=6",
    "--training.warmup-steps=2",
    "--training.batch-size=8",
    "--training.parts=4",
    "--training.evaluate-every=3",
    "--training.log-every=1",
    "--training.device=cpu",
    "--training.timeout-minutes=5",
    "--checkpoint.every=2",
]


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fsdp") / "digits"
    answers = {"devices": "fsdp", "starter": "language_model", "checkpoint": "rolling"}
    return render(template, folder, stage="production", **answers)


@pytest.fixture(scope="module")
def results(project: Path) -> dict[str, Any]:
    """Exit codes and outputs of the processes of each stage."""
    (project / "stages.py").write_text(STAGES, encoding="utf-8")
    subprocess.run(
        [PYTHON, "-c", DRIVER, *SETTINGS],
        cwd=project,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=600,
    )
    return json.loads((project / "results.json").read_bytes())


def checkpoint(project: Path, run: str) -> Path:
    return project / "runs" / run / "checkpoints/step_00000006"


def metrics(project: Path, run: str) -> list[dict[str, float]]:
    text = (project / "runs" / run / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_another_number_of_processes_ends_the_same_but_for_rounding(
    project: Path, results: dict[str, Any]
) -> None:
    assert results["alone"]["codes"] == [0], results["alone"]
    assert results["unbroken"]["codes"] == [0, 0], results["unbroken"]
    assert results["unbroken"]["outputs"][1] == "", "only one process prints"
    lines = zip(metrics(project, "alone"), metrics(project, "unbroken"), strict=True)
    for one, two in lines:
        assert one == pytest.approx(two, rel=1e-5, abs=1e-6)


def test_gradients_are_those_of_one_process(results: dict[str, Any]) -> None:
    """Of each weight, in the first step. AdamW would hide a wrong factor."""
    assert results["compared"]["codes"] == [0], results["compared"]
    assert float(results["compared"]["outputs"][0]) < 1e-6


def test_a_run_that_one_process_stopped_ends_with_the_same_bits(
    project: Path, results: dict[str, Any]
) -> None:
    assert results["stopped"]["codes"] == [75, 75], results["stopped"]
    assert "stopped by SIGTERM after step 3, which is saved" in results["stopped"]["outputs"][0]
    assert results["resumed"]["codes"] == [0, 0], results["resumed"]
    files = sorted(path.name for path in checkpoint(project, "unbroken").iterdir())
    assert files == [
        "manifest.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "optimizer-00001-of-00002.safetensors",
        "optimizer-00002-of-00002.safetensors",
        "state.json",
    ]
    for name in (*(f"checkpoints/step_00000006/{file}" for file in files), "metrics.jsonl"):
        one, other = (project / "runs" / run / name for run in ("unbroken", "stopped"))
        assert one.read_bytes() == other.read_bytes(), name
    assert list((project / "runs").glob("*/checkpoints/.tmp*")) == []


@pytest.mark.parametrize(("run", "counts"), [("", (1, 2, 3, 4)), ("_of_alone", (1, 2))])
def test_any_number_of_processes_reads_the_same_bits(
    run: str, counts: tuple[int, ...], results: dict[str, Any]
) -> None:
    """One reads them like PyTorch's own reader, too."""
    outputs: set[str] = set()
    for count in counts:
        done = results[f"read_by_{count}{run}"]
        assert done["codes"] == [0] * count, done
        outputs.add(done["outputs"][0])
    (output,) = outputs
    assert output.startswith("6 ")


def test_one_process_evaluates_and_exports_what_two_have_trained(results: dict[str, Any]) -> None:
    assert results["evaluated"]["codes"] == [0], results["evaluated"]
    assert results["exported"]["codes"] == [0], results["exported"]


def test_a_checkpoint_is_json_and_tensors(project: Path, results: dict[str, Any]) -> None:
    """There is no file that pickle could read."""
    for path in checkpoint(project, "unbroken").iterdir():
        content = path.read_bytes()
        if path.suffix == ".json":
            json.loads(content)
            continue
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        assert header.pop("__metadata__").keys() == {"DCP_SHARDING_INFO"}
        assert len(content) == start + max(entry["data_offsets"][1] for entry in header.values())


def test_a_shard_that_is_gone_or_torn_is_noticed(results: dict[str, Any]) -> None:
    assert results["torn"]["codes"] == [0], results["torn"]
    warning = "runs/stopped/checkpoints/step_00000006 is corrupt; using another checkpoint"
    assert sorted(results["torn"]["outputs"][0].splitlines()) == ["4", "4", warning, warning]


def test_what_cannot_be_sharded_is_refused(results: dict[str, Any]) -> None:
    assert results["refused"]["codes"] == [0, 0], results["refused"]
    assert results["refused"]["outputs"][0].splitlines() == [
        "models/network.py: scale can't be cut; give it the shape (1,)",
        "models/network.py: BatchNorm1d keeps running statistics; use GroupNorm or LayerNorm, "
        "or one process",
        "models/network.py: blocks share weights, which fsdp separates; use them in one block "
        "only, or choose devices = ddp",
        "accepted",
    ]
