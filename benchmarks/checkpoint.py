"""How long the loop stands still for a checkpoint: `make bench`, or run this in `.venv-project`.

100 million float32 weights with AdamW's moments, 1.2 GB. Four ways, alternating in one process:

- ours, synchronous: written, flushed, checksummed, renamed; the loop waits for all of it.
- ours, in the background: the loop waits for a copy into buffers that are used again.
- `torch.save` of both state dicts into one file: neither flushed nor checksummed.
- `torch.distributed.checkpoint.async_save` of both state dicts, as its documentation has it for
  one process (a gloo group, its default options, which copy in the calling thread).

The loop stands still in the call, and afterwards wherever a step takes more than three times what
steps take: where the writer holds Python's lock, say. What steps without a checkpoint lose that way
is taken off. One thread computes, so that the other core is free for the writer, as it is where a
GPU computes. The first checkpoint in the background, which makes its buffers, is shown apart.

Target: in the background, at most 0.15 of what `torch.save` costs.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTH = 2500  # 16 square matrices of it are 100 million weights
LAYERS = 16
WATCHED = 8.0  # seconds: a write of 1.2 GB in the background ends within them


def package_of(folder: Path) -> Any:
    """The package of a rendered project, importable."""
    (inner,) = (path.parent for path in (folder / "src").glob("*/cli.py"))
    sys.path.insert(0, str(folder / "src"))
    package = importlib.import_module(inner.name)
    for name in ("config", "training.checkpoint", "training.optimizer", "training.retention"):
        importlib.import_module(f"{inner.name}.{name}")
    return package


def writer_of(folder: Path, package: Any) -> Any:
    """The writer of a rendered project, under a name of its own."""
    (path,) = (folder / "src").glob("*/training/writer.py")
    name = f"{package.__name__}.training.writer_{folder.name}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.Writer()


def main() -> None:
    """Measure all four."""
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s SYNCHRONOUS BACKGROUND")
    parser.add_argument(
        "synchronous", type=Path, help="a project with checkpoint_writer=synchronous"
    )
    parser.add_argument("background", type=Path, help="a project with checkpoint_writer=background")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    import torch
    import torch.distributed as distributed
    import torch.distributed.checkpoint as distributed_checkpoint

    torch.set_num_threads(1)
    package = package_of(options.synchronous.resolve())
    training = package.training
    model = torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)))
    optimizer = training.optimizer.build_optimizer(model, package.config.TrainingConfig())
    model(torch.randn(2, WIDTH)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    state = training.checkpoint.State(model, optimizer)
    product = torch.randn(256, 256)

    def still(seconds: float) -> float:
        """Work for so long in small steps; gives the share of the time that they stood still."""
        spent: list[float] = []
        last = began = time.perf_counter()
        while last - began < seconds:
            _ = product @ product
            now = time.perf_counter()
            spent.append(now - last)
            last = now
        usual = statistics.median(spent)
        return sum(each - usual for each in spent if each > 3 * usual) / (last - began)

    scratch = Path(tempfile.mkdtemp(prefix="bench-checkpoint-"))
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "0")
    distributed.init_process_group(
        "gloo", rank=0, world_size=1, init_method=f"file://{scratch / 'rendezvous'}"
    )
    strategy = training.retention.Strategy(package.config.CheckpointConfig())
    writers = {
        "ours, synchronous": writer_of(options.synchronous.resolve(), package),
        "ours, background": writer_of(options.background.resolve(), package),
    }

    def ours(name: str) -> Callable[[], Callable[[], object]]:
        store = training.checkpoint.CheckpointStore(scratch / name.replace(", ", "-"), strategy)
        store.sweep()

        def save() -> Callable[[], object]:
            state.step += 1
            store.save(state, writers[name])
            return writers[name].wait

        return save

    def plain() -> Callable[[], object]:
        both = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(both, scratch / "last.pt")
        return lambda: None

    def asynchronous() -> Callable[[], object]:
        both = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        folder = scratch / "distributed"
        shutil.rmtree(folder, ignore_errors=True)
        future: Any = distributed_checkpoint.async_save(  # pyright: ignore[reportPrivateImportUsage]
            both, checkpoint_id=str(folder)
        )
        return future.result

    ways: dict[str, Callable[[], Callable[[], object]]] = {
        "torch.save": plain,
        "ours, synchronous": ours("ours, synchronous"),
        "ours, background": ours("ours, background"),
        "async_save": asynchronous,
    }
    calls: dict[str, list[float]] = {name: [] for name in ways}
    lost: dict[str, list[float]] = {name: [] for name in ways}
    try:
        for turn in range(options.rounds + 1):
            for name, save in ways.items():
                os.sync()  # what earlier ways left to be written isn't this one's
                usual = still(WATCHED)
                began = time.perf_counter()
                leave = save()
                call = time.perf_counter() - began
                share = still(WATCHED)
                leave()
                calls[name].append(call)
                lost[name].append(call + max(0.0, share - usual) * WATCHED)
                if turn == 0 and name == "ours, background":
                    print(f"the first in the background, which makes the buffers: {call:.2f} s")
    finally:
        distributed.destroy_process_group()
        shutil.rmtree(scratch, ignore_errors=True)

    print("seconds that the loop stands still for 1.2 GB; medians of the later checkpoints")
    print(f"{'':<20}{'in the call':>12}{'in all':>10}{'ratio':>8}")
    for name in ways:
        ratio = statistics.median(
            mine / theirs
            for mine, theirs in zip(lost[name][1:], lost["torch.save"][1:], strict=True)
        )
        call, whole = (statistics.median(each[name][1:]) for each in (calls, lost))
        print(f"{name:<20}{call:>12.3f}{whole:>10.3f}{ratio:>8.3f}")


if __name__ == "__main__":
    main()
