"""Measures what it costs to train one run in several processes: `make bench`.

Steps of 1, 2 and 4 processes with gloo on this machine, three ways, alternating in each process:

- ours: the project's `sum_and_clip`, which adds in the order of a tree over the parts of a batch,
  so that the bits don't depend on the number of processes.
- all_reduce: one flat `all_reduce` of all gradients, after the backward pass.
- DDP: `DistributedDataParallel`, which reduces during the backward pass.

All three clip the norm of the gradients.

Each process computes one part. The reduction alone is measured, too: of the same gradients, without
a backward pass. On this machine the processes share the cores, so there is no speed-up to see, and
what a network costs isn't measured.

Then the seconds from a signal to the end of the last process, for a run of the project that is
started as `ml-architect launch local` does it, and for a bare loop under torchrun that saves
nothing: SIGTERM to torchrun, and SIGKILL to one process.

Prints medians, and medians of the ratios within a round. There is no target: the order costs what
it costs.
"""

import argparse
import importlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import run_together

PROCESSES = (1, 2, 4)
WIDTHS = (350, 1100)  # of 8 square layers: 1 and 10 million weights
LAYERS = 8
EXAMPLES = 64
LAUNCHER = Path(__file__).parents[1] / "src/ml_architect/launch/torchrun.py"
BARE = """
import time, pathlib, torch, torch.distributed as dist
dist.init_process_group("gloo")
for step in range(10**6):
    time.sleep(0.01)
    dist.all_reduce(torch.zeros(1))
    if step == 20 and dist.get_rank() == 0:
        pathlib.Path("runs/bare").touch()
"""

Seconds = dict[str, list[float]]


def import_package(folder: Path) -> Any:
    """Import the package of a rendered project."""
    (inner,) = (path.parent for path in (folder / "src").glob("*/cli.py"))
    sys.path.insert(0, str(folder / "src"))
    package = importlib.import_module(inner.name)
    for name in ("config", "training.device"):
        importlib.import_module(f"{inner.name}.{name}")
    return package


def measure_steps(folder: Path, width: int, rounds: int) -> Seconds:
    """Seconds of a step and of a reduction, by way. This is one of the processes."""
    import torch
    import torch.distributed as dist
    from torch import nn

    package = import_package(folder)
    device, processes = package.training.device, int(os.environ["WORLD_SIZE"])
    config = package.config.from_dict({"training": {"batch_size": processes, "parts": processes}})
    torch.set_num_threads(1)
    with device.process_group(config.training):

        def ours(backward: Callable[[int], Any], weights: list[Any]) -> None:
            device.sum_and_clip(weights, backward(0), float("inf"))

        def flat(backward: Callable[[int], Any], weights: list[Any]) -> None:
            loss = backward(0)
            gradients = [weight.grad for weight in weights]
            whole = torch.cat([loss.view(1), *(gradient.flatten() for gradient in gradients)])
            dist.all_reduce(whole)
            sums = whole[1:].split([gradient.numel() for gradient in gradients])
            for gradient, total in zip(gradients, sums, strict=True):
                gradient.copy_(total.view_as(gradient))
            nn.utils.clip_grad_norm_(weights, float("inf"))

        def parallel(backward: Callable[[int], Any], weights: list[Any]) -> None:
            backward(0)
            nn.utils.clip_grad_norm_(weights, float("inf"))

        ways = {"ours": ours, "all_reduce": flat, "DDP": parallel}
        inputs = torch.randn(EXAMPLES, width)
        models: dict[str, Any] = {}
        for way in ways:
            torch.manual_seed(0)
            layers = [nn.Linear(width, width, bias=False) for _ in range(LAYERS)]
            models[way] = nn.Sequential(*layers)
        models["DDP"] = nn.parallel.DistributedDataParallel(models["DDP"])
        optimizers = {way: torch.optim.AdamW(models[way].parameters()) for way in ways}

        def step(way: str, *, reduction_only: bool) -> None:
            weights = list(models[way].parameters())

            def backward(_part: int) -> Any:
                if reduction_only:
                    for weight in weights:
                        weight.grad = torch.ones_like(weight)
                    return torch.zeros(())
                loss = models[way](inputs).square().mean() / processes
                loss.backward()
                return loss.detach()

            ways[way](backward, weights)
            if not reduction_only:
                optimizers[way].step()
            optimizers[way].zero_grad(set_to_none=way != "DDP")

        seconds: Seconds = {}
        for number in range(rounds + 1):
            for way in ways:
                for reduction_only in (False, True) if way != "DDP" else (False,):
                    dist.barrier()
                    start = time.perf_counter()
                    step(way, reduction_only=reduction_only)
                    name = f"{way}, reduction" if reduction_only else way
                    if number:  # the first one allocates
                        seconds.setdefault(name, []).append(time.perf_counter() - start)
    return seconds


def start_steps(folder: Path, processes: int, width: int, rounds: int) -> Seconds:
    """Measure in so many processes. Returns what the first one has measured."""
    command = [sys.executable, __file__, str(folder), f"--width={width}", f"--rounds={rounds}"]
    return run_together(command, processes)


def seconds_to_end(folder: Path, command: list[str], sign: Path, processes: int, kill: bool) -> Any:
    """Start a command with torchrun, and end it when the sign is there.

    Returns:
        Seconds until the last process has ended.
    """
    (folder / "runs").mkdir(exist_ok=True)
    shutil.rmtree(folder / "runs/bench", ignore_errors=True)
    (folder / "runs/bare").unlink(missing_ok=True)
    options = ["--standalone", f"--nproc-per-node={processes}"]
    launcher = subprocess.Popen(
        [sys.executable, LAUNCHER, *options, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not sign.exists() or (sign.suffix and '"step": 20,' not in sign.read_text("utf-8")):
        assert launcher.poll() is None, f"{command} has ended"
        time.sleep(0.01)
    start = time.perf_counter()
    if kill:
        children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text("utf-8")
        os.kill(int(children.split()[-1]), signal.SIGKILL)
    else:
        launcher.terminate()
    code = launcher.wait()
    assert code == (1 if kill else 75), code
    return time.perf_counter() - start


def print_table(title: str, seconds: Seconds, peers: dict[str, str]) -> None:
    print(f"\n{title}\n{'':<24}{'seconds':>10}{'ratio':>8}  to")
    for name, values in seconds.items():
        line = f"{name:<24}{statistics.median(values):>10.4f}"
        if peer := peers.get(name):
            ratios = (own / other for own, other in zip(values, seconds[peer], strict=True))
            line += f"{statistics.median(ratios):>8.2f}  {peer}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s PROJECT")
    parser.add_argument("project", type=Path, help="a project with devices=ddp")
    parser.add_argument("--rounds", type=int, default=20, help="of steps")
    parser.add_argument("--ends", type=int, default=5, help="rounds of signals")
    parser.add_argument("--width", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.project.resolve()
    if "RANK" in os.environ:
        print(json.dumps(measure_steps(folder, options.width, options.rounds)))
        return

    peers = {"ours": "all_reduce", "DDP": "all_reduce", "ours, reduction": "all_reduce, reduction"}
    for width in WIDTHS:
        for processes in PROCESSES:
            seconds = start_steps(folder, processes, width, options.rounds)
            title = f"{LAYERS * width**2 / 1e6:.0f} million weights, {processes} process(es)"
            print_table(title, seconds, peers)

    (package,) = (path.parent.name for path in (folder / "src").glob("*/cli.py"))
    train = [sys.executable, "-m", f"{package}.cli", "train", "--config=configs/small.toml"]
    train += ["--run-name=bench", "--training.parts=4", "--training.log-every=1"]
    train += ["--training.max-steps=100000", "--training.device=cpu"]
    commands = {
        "ours": (train, folder / "runs/bench/metrics.jsonl"),
        "bare": ([sys.executable, "-c", BARE], folder / "runs/bare"),
    }
    for processes in PROCESSES[1:]:
        ends: Seconds = {}
        for _ in range(options.ends):
            for kill in (False, True):
                for name, (command, sign) in commands.items():
                    taken = seconds_to_end(folder, command, sign, processes, kill)
                    ends.setdefault(f"{name}, {'SIGKILL' if kill else 'SIGTERM'}", []).append(taken)
        peers = {f"ours, {name}": f"bare, {name}" for name in ("SIGTERM", "SIGKILL")}
        print_table(f"from the signal to the end, {processes} processes", ends, peers)


if __name__ == "__main__":
    main()
