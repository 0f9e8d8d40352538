"""Measures how long a checkpoint stops the training loop: `make bench`.

100 million float32 weights with AdamW's moments, 1.2 GB. Four methods, alternating in one process:

- ours, synchronous: written, flushed, checksummed, renamed; the loop waits for all of this.
- ours, background: the loop waits for a copy into buffers that are reused.
- `torch.save` of both state dicts into one file: neither flushed nor checksummed.
- `torch.distributed.checkpoint.async_save` of both state dicts, as in its documentation for one
  process (a gloo group, default options, which copy in the calling thread).

The loop stalls in the call, and later wherever a step takes more than three times the median, for
example while the writer holds the GIL. Stalls of steps without a checkpoint are measured as a
baseline and subtracted. One thread computes, so that the other core is free for the writer, as with
a GPU. The first background checkpoint, which allocates the buffers, is shown separately.

Target: a background checkpoint stalls the loop at most 0.15 times as long as `torch.save`.
"""

import argparse
import contextlib
import importlib
import importlib.util
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH = 2500  # 16 square matrices of this width have 100 million weights
LAYERS = 16
SECONDS = 8.0  # enough for a background write of 1.2 GB


def import_package(folder: Path) -> Any:
    """Import the package of a rendered project."""
    (inner,) = (path.parent for path in (folder / "src").glob("*/cli.py"))
    sys.path.insert(0, str(folder / "src"))
    package = importlib.import_module(inner.name)
    for name in ("config", "training.checkpoint", "training.optimizer"):
        importlib.import_module(f"{inner.name}.{name}")
    return package


def writer_of(folder: Path, package: Any) -> Any:
    """The `checkpoint_writer` of a rendered project, imported under its own name."""
    (path,) = (folder / "src").glob("*/training/writer.py")
    name = f"{package.__name__}.training.writer_{folder.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.checkpoint_writer


def join_writer() -> None:
    """Wait for the thread of the background writer, if there is one."""
    for thread in threading.enumerate():
        if thread.name == "checkpoint-writer":
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s SYNCHRONOUS BACKGROUND")
    parser.add_argument(
        "synchronous", type=Path, help="a project with checkpoint_writer=synchronous"
    )
    parser.add_argument("background", type=Path, help="a project with checkpoint_writer=background")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=int, default=WIDTH, help="of the 16 square matrices")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="measured after each save")
    options = parser.parse_args()

    import torch
    import torch.distributed as distributed
    import torch.distributed.checkpoint as distributed_checkpoint

    torch.set_num_threads(1)
    package = import_package(options.synchronous.resolve())
    training = package.training
    width = options.width
    model = torch.nn.Sequential(*(torch.nn.Linear(width, width, bias=False) for _ in range(LAYERS)))
    optimizer = training.optimizer.build_optimizer(model, package.config.TrainingConfig())
    model(torch.randn(2, width)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    state = training.checkpoint.TrainState({"model": model}, optimizer)
    matrix = torch.randn(256, 256)

    def stalled_fraction(seconds: float) -> float:
        """Compute in small steps. Returns the fraction of the time that they stalled."""
        durations: list[float] = []
        last = start = time.perf_counter()
        while last - start < seconds:
            _ = matrix @ matrix
            now = time.perf_counter()
            durations.append(now - last)
            last = now
        median = statistics.median(durations)
        slow = (duration for duration in durations if duration > 3 * median)
        return sum(duration - median for duration in slow) / (last - start)

    scratch = Path(tempfile.mkdtemp(prefix="bench-checkpoint-"))
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "0")
    distributed.init_process_group(
        "gloo", rank=0, world_size=1, init_method=f"file://{scratch / 'rendezvous'}"
    )
    stack = contextlib.ExitStack()
    writers = {
        "ours, synchronous": writer_of(options.synchronous.resolve(), package),
        "ours, background": writer_of(options.background.resolve(), package),
    }

    def ours(name: str) -> Callable[[], Callable[[], object]]:
        manager = training.checkpoint.CheckpointManager(
            scratch / name.replace(", ", "-"), package.config.CheckpointConfig()
        )
        manager.remove_temporary_files()
        write = stack.enter_context(writers[name]())

        def save() -> Callable[[], object]:
            state.step += 1
            manager.save(state, write)
            return join_writer

        return save

    def torch_save() -> Callable[[], object]:
        state_dicts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state_dicts, scratch / "last.pt")
        return lambda: None

    def async_save() -> Callable[[], object]:
        state_dicts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        folder = scratch / "distributed"
        shutil.rmtree(folder, ignore_errors=True)
        future: Any = distributed_checkpoint.async_save(  # pyright: ignore[reportPrivateImportUsage]
            state_dicts, checkpoint_id=str(folder)
        )
        return future.result

    methods: dict[str, Callable[[], Callable[[], object]]] = {
        "torch.save": torch_save,
        "ours, synchronous": ours("ours, synchronous"),
        "ours, background": ours("ours, background"),
        "async_save": async_save,
    }
    calls: dict[str, list[float]] = {name: [] for name in methods}
    stalls: dict[str, list[float]] = {name: [] for name in methods}
    try:
        with stack:
            for number in range(options.rounds + 1):
                for name, save in methods.items():
                    os.sync()  # so that it doesn't wait for the data of another method
                    baseline = stalled_fraction(options.seconds)
                    start = time.perf_counter()
                    wait = save()
                    call = time.perf_counter() - start
                    fraction = stalled_fraction(options.seconds)
                    wait()
                    calls[name].append(call)
                    stalls[name].append(call + max(0.0, fraction - baseline) * options.seconds)
                    if number == 0 and name == "ours, background":
                        print(f"the first background checkpoint, which allocates: {call:.2f} s")
    finally:
        distributed.destroy_process_group()
        shutil.rmtree(scratch, ignore_errors=True)

    gigabytes = 12 * LAYERS * width**2 / 1e9
    print(f"seconds that the loop stalls for {gigabytes:.2f} GB; medians of the later checkpoints")
    print(f"{'':<20}{'in the call':>12}{'total':>10}{'ratio':>8}")
    for name in methods:
        ratio = statistics.median(
            stall / reference
            for stall, reference in zip(stalls[name][1:], stalls["torch.save"][1:], strict=True)
        )
        call, stall = (statistics.median(values[name][1:]) for values in (calls, stalls))
        print(f"{name:<20}{call:>12.3f}{stall:>10.3f}{ratio:>8.3f}")


if __name__ == "__main__":
    main()
