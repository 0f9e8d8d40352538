"""Measures saving and loading a checkpoint in several processes, by layout: `make bench`.

A model of 40 million float32 weights in 16 layers, with AdamW's moments: 0.48 GB. Three layouts, in
1, 2 and 4 processes with gloo on this machine:

- whole: `devices = ddp`. The first process writes and reads; the others wait, and get the state.
- shards: `devices = fsdp`. Each process writes and reads its own.
- torch.save: the first process writes both state dicts into one file, neither flushed nor
  checksummed, and reads it; the peer of the ratios.

All write to the same disk, so shards gain less here than on a file system of many disks. Prints
medians over the rounds, and their ratios.
"""

import argparse
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from processes import run_together

PROCESSES = (1, 2, 4)
LAYERS, WIDTH = 16, 1600


def measure(project: Path, scratch: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds to save and to load in this process, one of several."""
    import torch
    import torch.distributed as dist
    from torch import nn

    (package,) = (path.parent.name for path in (project / "src").glob("*/cli.py"))
    sys.path.insert(0, str(project / "src"))
    config_module, checkpoint, device, optimizers, writers = (
        importlib.import_module(f"{package}.{name}")
        for name in (
            *("config", "training.checkpoint", "training.device", "training.optimizer"),
            "training.writer",
        )
    )
    torch.set_num_threads(1)
    processes = int(os.environ["WORLD_SIZE"])
    settings = {"training": {"batch_size": processes, "parts": processes}}
    config = config_module.from_dict(settings)
    seconds: dict[str, list[float]] = {}

    def timed(name: str, function: Callable[[], object]) -> None:
        os.sync()
        dist.barrier()
        start = time.perf_counter()
        function()
        dist.barrier()
        seconds.setdefault(name, []).append(time.perf_counter() - start)

    with device.process_group(config.training), writers.checkpoint_writer() as write:
        model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)))
        device.distribute(model, torch.device("cpu"))
        optimizer = optimizers.build_optimizer(model, config.training)
        model(torch.randn(2, WIDTH)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        state = checkpoint.TrainState({"model": model}, optimizer)
        manager = checkpoint.CheckpointManager(scratch / os.environ["RANK"], config.checkpoint)
        manager.remove_temporary_files()

        def save() -> None:
            state.step += 1
            if device.SAVES:
                manager.save(state, write)

        def torch_save() -> None:
            if device.LEAD:
                torch.save([model.state_dict(), optimizer.state_dict()], scratch / "last.pt")

        def torch_load() -> None:
            if device.LEAD:
                weights, moments = torch.load(scratch / "last.pt")
                model.load_state_dict(weights)
                optimizer.load_state_dict(moments)

        is_whole = not any("DTensor" in type(weight).__name__ for weight in model.parameters())
        for _ in range(rounds):
            timed("save", save)
            timed("load", lambda: device.restore(state, manager))
            if is_whole:
                timed("torch.save, save", torch_save)
                timed("torch.save, load", torch_load)
    return seconds


def start(project: Path, processes: int, rounds: int) -> dict[str, list[float]]:
    """Measure in so many processes. Returns what the first one has measured."""
    with tempfile.TemporaryDirectory(prefix="bench-layouts-", dir=project) as scratch:
        command = [sys.executable, __file__, str(project), scratch, f"--rounds={rounds}"]
        return run_together(command, processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s DDP FSDP")
    parser.add_argument("ddp", type=Path, help="a project with devices=ddp")
    parser.add_argument("fsdp", type=Path, help="a project with devices=fsdp")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if "RANK" in os.environ:
        seconds = measure(options.ddp.resolve(), options.fsdp, options.rounds)
        print(json.dumps(seconds))
        return

    for processes in PROCESSES:
        found: dict[str, Any] = start(options.ddp.resolve(), processes, options.rounds)
        sharded = start(options.fsdp.resolve(), processes, options.rounds)
        print(f"\n{processes} process(es)\n{'':<24}{'seconds':>10}{'ratio':>8}  to torch.save")
        for action in ("save", "load"):
            peer = statistics.median(found[f"torch.save, {action}"])
            for layout, values in (("whole", found[action]), ("shards", sharded[action])):
                median = statistics.median(values)
                print(f"{f'{action}, {layout}':<24}{median:>10.3f}{median / peer:>8.2f}")
            print(f"{f'{action}, torch.save':<24}{peer:>10.3f}{1:>8.2f}")


if __name__ == "__main__":
    main()
