"""Measures a step of the generated training loop, a bare loop and three frameworks: `make bench`.

All train the same small model on the same examples with the same augmentation, gradient clipping,
AdamW and learning rates, alternating in one process, each time from newly initialized weights:

- bare: shuffling, the step and the schedule, nothing else.
- ours: the project's `train` with everything on: it seeds each step, checks for stops, and logs
  every ten steps to metrics.jsonl, timings.jsonl and the console. The cost of a checkpoint every
  500 steps is shown separately, since it depends on `checkpoint.every`.
- Fabric, Accelerate, Trainer: see peers.py. They need `.venv-bench`; without it, they are skipped.

The model is small, so that the overhead is visible; with a larger model it is negligible. Startup
and evaluation aren't counted: the clock starts with the first batch. The clock synchronizes the
GPU, if there is one. `--clock cpu` measures CPU time, for a busy machine.

Prints medians, medians of the ratios within a round, and the ratio of the fastest rounds. Targets:
ours, checkpoints included, at most 1.03 times bare, and less than each of the three frameworks.

If the model's file has a function `flops_per_token` (forward and backward), tokens per second and
model FLOP utilization are printed too.
"""

import argparse
import contextlib
import gc
import importlib
import importlib.util
import io
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from peers import LOG_EVERY, PEERS, Workload

MAX_RATIO = 1.03

STARTERS = {
    "image": {"model": {"channels": 4}, "training": {"batch_size": 64}},
    "blank": {"model": {"hidden": 64}, "training": {"batch_size": 16}},
}

PEAK_FLOPS = {  # per second, dense bfloat16, from NVIDIA's data sheets; the first match is used
    "H200 NVL": 836e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
}


def import_package(folder: Path) -> Any:
    """Import the package of a rendered project."""
    (source,) = (path.parent for path in (folder / "src").glob("*/cli.py"))
    package = source.name
    for name in [name for name in sys.modules if f"{name}.".startswith(f"{package}.")]:
        del sys.modules[name]  # of an earlier project with the same name
    sys.path.insert(0, str(source.parent))
    for name in ("data.cache", "models.network", "training.loop"):
        importlib.import_module(f"{package}.{name}")
    sys.path.pop(0)
    return sys.modules[package]


def starter_of(folder: Path) -> str:
    """The starter in the project's answers."""
    answers = (folder / ".copier-answers.yml").read_text(encoding="utf-8").splitlines()
    (answer,) = (line.partition(": ")[2] for line in answers if line.startswith("starter: "))
    return answer


def bare(workload: Workload) -> float:
    """Seconds per step of a handwritten loop."""
    import torch

    device_module = workload.package.training.device
    device = device_module.select_device(workload.config.training)
    clip = workload.config.training.gradient_clip
    model = workload.model().to(device)
    optimizer = workload.optimizer(model)
    schedule = workload.schedule(optimizer)
    start = workload.clock()
    for rows in workload.rows():
        inputs, targets = (device_module.to_device(x, device) for x in workload.gather(rows))
        with device_module.autocast(device, workload.config.training):
            loss = workload.loss(model, inputs, targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        schedule.step()
    return (workload.clock() - start) / workload.steps


def ours(workload: Workload, validation_set: Any, name: str) -> tuple[float, float]:
    """Seconds per step of the generated loop without evaluation: training, and checkpoints."""
    package, config = workload.package, workload.config
    loop, checkpoints = package.training.loop, package.training.checkpoint.CheckpointManager
    logger = package.training.logger.MetricsLogger
    run = package.training.run.Run.create(name, config, workload.train_set)
    spent: dict[str, float] = dict.fromkeys(("evaluating", "saving"), 0.0)
    start: list[float] = []

    def timed(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            before = workload.clock()
            result = function(*arguments)
            spent[kind] += workload.clock() - before
            return result

        return call

    def load_batches(*arguments: Any) -> Any:
        batches = originals[0](*arguments)

        def first_batch() -> Iterator[Any]:
            start.append(workload.clock())
            yield next(batches)

        return itertools.chain(first_batch(), batches)

    originals = loop.load_batches, loop.predict, checkpoints.save, logger.sync
    loop.load_batches, loop.predict = load_batches, timed("evaluating", loop.predict)
    checkpoints.save, logger.sync = (
        timed("saving", checkpoints.save),
        timed("saving", logger.sync),
    )
    try:
        with run.locked():
            loop.train(config, run, workload.train_set, validation_set)
            seconds = workload.clock() - start[0]
    finally:
        loop.load_batches, loop.predict, checkpoints.save, logger.sync = originals
    steps = workload.steps
    return (seconds - spent["evaluating"] - spent["saving"]) / steps, spent["saving"] / steps


def clock(which: str) -> Callable[[], float]:
    """A clock that synchronizes the GPU."""
    import torch

    read = time.process_time if which == "cpu" else time.perf_counter

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return read()

    return now


def peak_flops() -> float | None:
    """The peak FLOP/s of this GPU, if known."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((flops for gpu, flops in PEAK_FLOPS.items() if gpu in name), None)


def throughput(workload: Workload, microseconds: float) -> str:
    """Tokens per second and model FLOP utilization, if the model counts FLOPs per token."""
    flops_per_token = getattr(workload.package.models.network, "flops_per_token", None)
    if flops_per_token is None:
        return ""
    _, targets = workload.gather(next(workload.rows()))
    tokens = targets.numel() / microseconds * 1e6
    peak = peak_flops()
    flops = tokens * flops_per_token(workload.model())
    utilization = f"{flops / peak:.1%} of the peak" if peak else f"{flops:.3g} FLOP/s, unknown peak"
    return f"{tokens:>12.0f} tokens/s, {utilization}"


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Suppress the output of the frameworks and of the loop."""
    for name in ("lightning.pytorch", "lightning.fabric", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    output = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(output):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(output):
            yield


def measure(
    workload: Workload, validation_set: Any, rounds: int, peers: list[str]
) -> dict[str, list[float]]:
    """Microseconds per step of each round, by name."""
    times: dict[str, list[float]] = {}

    def run(name: str, number: int) -> dict[str, float]:
        if name == "bare":
            return {name: bare(workload)}
        if name == "ours":
            training, saving = ours(workload, validation_set, f"bench-{number}")
            return {"ours, no checkpoints": training, "ours": training + saving}
        return {name: PEERS[name][1](workload, Path("peers") / f"{name}-{number}")}

    for number in range(rounds + 1):
        names = ["bare", "ours", *peers]
        for name in names if number % 2 else reversed(names):
            gc.collect()
            with quiet():
                seconds_by_label = run(name, number)
            for label, seconds in seconds_by_label.items():
                if number:  # the first round warms up
                    times.setdefault(label, []).append(seconds * 1e6)
    order = ["bare", "ours, no checkpoints", "ours", *peers]
    return {name: times[name] for name in order}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s [options] PROJECT…")
    parser.add_argument("projects", nargs="+", type=Path, help="rendered projects")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[*PEERS])
    options = parser.parse_args()
    folders = [folder.resolve() for folder in options.projects]
    import torch

    torch.set_num_threads(1)
    peers = [peer for peer in options.peers if importlib.util.find_spec(PEERS[peer][0])]
    if missing := [peer for peer in options.peers if peer not in peers]:
        print(f"not installed, so not measured: {', '.join(missing)}; see `make bench`")
    print(
        f"µs per step ({options.clock} clock), and times bare, medians of {options.rounds} rounds"
    )
    for folder in folders:
        package, starter = import_package(folder), starter_of(folder)
        with tempfile.TemporaryDirectory() as scratch:
            os.chdir(scratch)
            tables = [str(path) for path in folder.glob("data/*.csv")]
            training = {
                "max_steps": options.steps,
                "evaluate_every": 10**9,
                "log_every": LOG_EVERY,
            }
            values = {
                "cache_dir": f"{scratch}/cache",
                "data": {"path": tables[0]} if tables else {},
                "training": training,
                "checkpoint": {"every": 500},
            }
            config = package.config.from_dict(
                package.config.merge(STARTERS.get(starter, {}), values)
            )
            load_split = package.data.cache.load_split
            workload = Workload(package, config, load_split(config, "train"), clock(options.clock))
            times = measure(workload, load_split(config, "validation"), options.rounds, peers)
            print(f"\n{starter:<24}{'µs per step':>12}{'x bare':>10}{'fastest':>10}")
            for name, values in times.items():
                median = statistics.median(values)
                ratio = statistics.median(b / a for a, b in zip(times["bare"], values, strict=True))
                fastest = min(values) / min(times["bare"])  # of all rounds: less noise
                columns = f"{median:>12.0f}{ratio:>10.3f}{fastest:>10.3f}"
                print(f"  {name:<22}{columns}{throughput(workload, median)}")
            os.chdir(folder)
    print(
        f"\nTargets: ours at most {MAX_RATIO:.2f} times bare, and less than each of the frameworks."
    )


if __name__ == "__main__":
    main()
