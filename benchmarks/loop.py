"""What a step of the generated loop costs beside a bare loop and three frameworks: `make bench`.

All train the same small network on the same records with the same augmentation, clipping, AdamW and
learning-rate schedule, alternating in one process, each time from fresh weights:

- bare is what a person writes in a quarter of an hour: a shuffled order, the step, nothing else.
- ours is the project's `train` with everything on: it seeds each step, checks, logs every ten steps
  to metrics.jsonl and the tracker, and moves a progress bar on what it takes for a terminal. A
  checkpoint every 500 steps is shown apart, since its price is set by `checkpoint.every`.
- Fabric, Accelerate, Trainer: see peers.py. They need `.venv-bench`; without it, bare and ours run.

The network is small, so that the overhead shows; with a larger one it vanishes. Evaluation is left
out of all, since it is work and not overhead, and so is starting up: the clock runs from the first
batch on. It waits for the GPU, where there is one. `--clock cpu` counts the processor's time
instead, for a machine that has other things to do as well.

Prints medians, and medians of the ratios within a round. Targets: ours, its checkpoints included,
at most 1.10 times bare, and less than each of the three.

For a network that says how many FLOPs a token takes (a function `flops_per_token` of the model
beside it, forward and backward), tokens a second and model FLOP utilisation are printed too.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import importlib.util
import io
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from peers import LOG_EVERY, PEERS, Work

MOST = 1.10

STARTERS = {
    "image": {"model": {"channels": 4}, "training": {"batch_size": 64}},
    "blank": {"model": {"hidden": 64}, "training": {"batch_size": 16}},
    "language_model": {
        "model": {"size": 1, "ngrams": 2},
        "data": {"context": 64},
        "training": {"batch_size": 8},
    },
}

PEAK = {  # FLOP/s of dense bfloat16 products, from NVIDIA's data sheets; the first that fits counts
    "H200 NVL": 836e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
}


class Terminal(io.StringIO):
    """Keeps what is written, and says that a person is looking: so bars are drawn."""

    def isatty(self) -> bool:
        """Rich and tqdm ask."""
        return True


def project(folder: Path) -> Any:
    """The package of a rendered project, importable."""
    (source,) = (path.parent for path in (folder / "src").glob("*/cli.py"))
    package = source.name
    for name in [each for each in sys.modules if f"{each}.".startswith(f"{package}.")]:
        del sys.modules[name]  # of an earlier project that has the same name
    sys.path.insert(0, str(source.parent))
    for name in (
        "cli",
        "config",
        "data.loader",
        "features.transforms",
        "models.network",
        "training.checkpoint",
        "training.device",
        "training.loop",
        "training.monitor",
        "training.optimizer",
        "training.run",
    ):
        importlib.import_module(f"{package}.{name}")
    sys.path.pop(0)
    return sys.modules[package]


def starter_of(folder: Path) -> str:
    """What the project began with, by its answers."""
    answers = (folder / ".copier-answers.yml").read_text(encoding="utf-8").splitlines()
    (answer,) = (line.partition(": ")[2] for line in answers if line.startswith("starter: "))
    return answer


def bare(work: Work, folder: Path) -> float:
    """Seconds a step of a hand-written loop."""
    import torch

    batch = work.package.protocols.Batch
    device = work.package.training.device.Device.choose(work.config.training)
    clip = work.config.training.gradient_clip
    model = work.network().to(device.name)
    optimizer = work.optimizer(model)
    schedule = work.schedule(optimizer)
    began = work.clock()
    for rows in work.rows():
        inputs, labels = device.place(batch(*work.gather(rows)))
        with device.autocast():
            loss = work.loss(model, inputs, labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        schedule.step()
    return (work.clock() - began) / work.steps


def ours(work: Work, validation: Any, name: str) -> tuple[float, float]:
    """Seconds a step of the generated loop besides evaluating: without saving, and for saving."""
    from rich.console import Console

    package, config = work.package, work.config
    loop, store = package.training.loop, package.training.checkpoint.CheckpointStore
    monitor = package.training.monitor.Monitor
    run = package.training.run.Run.create(name, config, "data")
    spent: dict[str, float] = dict.fromkeys(("evaluating", "saving"), 0.0)
    began: list[float] = []

    def timed(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            before = work.clock()
            found = function(*arguments)
            spent[what] += work.clock() - before
            return found

        return call

    def load(*arguments: Any) -> Any:
        batches = originals[0](*arguments)
        began.append(work.clock())  # when the loop asks for the first one
        yield from batches

    originals = loop.load, loop.predict, store.save, monitor.flush
    loop.load, loop.predict = load, timed("evaluating", loop.predict)
    store.save, monitor.flush = timed("saving", store.save), timed("saving", monitor.flush)
    try:
        with run.locked():
            loop.train(config, run, work.records, validation, Console(file=Terminal()))
            seconds = work.clock() - began[0]
    finally:
        loop.load, loop.predict, store.save, monitor.flush = originals
    steps = work.steps
    return (seconds - spent["evaluating"] - spent["saving"]) / steps, spent["saving"] / steps


def clock(which: str) -> Callable[[], float]:
    """A clock that lets the GPU finish first."""
    import torch

    read = time.process_time if which == "cpu" else time.perf_counter

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return read()

    return now


def peak() -> float | None:
    """FLOP/s that this GPU can do at most; None where that isn't known."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((flops for known, flops in PEAK.items() if known in name), None)


def throughput(work: Work, microseconds: float) -> str:
    """Tokens a second and the share of the peak that they use, where the network counts tokens."""
    flops_per_token = getattr(work.package.models.network, "flops_per_token", None)
    if flops_per_token is None:
        return ""
    _, labels = work.gather(next(work.rows()))
    tokens = labels.numel() / microseconds * 1e6
    most = peak()
    used = tokens * flops_per_token(work.network())
    share = f"{used / most:.1%} of the peak" if most else f"{used:.3g} FLOP/s, unknown peak"
    return f"{tokens:>12.0f} tokens/s, {share}"


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Frameworks greet and advise, and draw bars; nobody is to see it."""
    for name in ("lightning.pytorch", "lightning.fabric", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
    said = Terminal()
    with warnings.catch_warnings(), contextlib.redirect_stdout(said):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(said):
            yield


def measure(work: Work, validation: Any, rounds: int, peers: list[str]) -> dict[str, list[float]]:
    """Microseconds a step of each round, by name."""
    times: dict[str, list[float]] = {}

    def run(name: str, number: int) -> dict[str, float]:
        folder = Path("peers") / f"{name}-{number}"
        if name == "bare":
            return {name: bare(work, folder)}
        if name == "ours":
            without, saving = ours(work, validation, f"bench-{number}")
            return {"ours, no checkpoints": without, "ours": without + saving}
        return {name: PEERS[name][1](work, folder)}

    for number in range(rounds + 1):
        names = ["bare", "ours", *peers]
        for name in names if number % 2 else reversed(names):
            gc.collect()
            with quiet():
                found = run(name, number)
            for label, seconds in found.items():
                if number:  # the first round warms up
                    times.setdefault(label, []).append(seconds * 1e6)
    order = ["bare", "ours, no checkpoints", "ours", *peers]
    return {name: times[name] for name in order}


def main() -> None:
    """Measure each project."""
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s [options] PROJECT…")
    parser.add_argument("projects", nargs="+", type=Path, help="rendered projects")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[*PEERS])
    options = parser.parse_args()
    folders = [folder.resolve() for folder in options.projects]
    os.environ["TERM"] = "xterm-256color"  # or no bar is drawn
    import torch

    torch.set_num_threads(1)
    peers = [each for each in options.peers if importlib.util.find_spec(PEERS[each][0])]
    if missing := [each for each in options.peers if each not in peers]:
        print(f"not installed here, hence not measured: {', '.join(missing)}; see `make bench`")
    print(f"µs a step ({options.clock} clock), and times bare, medians of {options.rounds} rounds")
    for folder in folders:
        package, starter = project(folder), starter_of(folder)
        with tempfile.TemporaryDirectory() as scratch:
            os.chdir(scratch)
            data = {"cache_dir": str(Path(scratch) / "cache")}
            if starter == "blank":
                data["path"] = str(folder / "data/records.csv")
            training = {
                "max_steps": options.steps,
                "evaluate_every": 10**9,
                "log_every": LOG_EVERY,
            }
            stated = package.config.merge(
                STARTERS.get(starter, {}),
                {"data": data, "training": training, "checkpoint": {"every": 500}},
            )
            config = package.config.from_dict(stated)
            records = package.training.loop.load_split(config, "train")
            work = Work(package, config, records, clock(options.clock))
            validation = package.training.loop.load_split(config, "validation")
            times = measure(work, validation, options.rounds, peers)
            print(f"\n{starter:<24}{'µs a step':>10}{'x bare':>10}")
            for name, each in times.items():
                middle = statistics.median(each)
                ratio = statistics.median(b / a for a, b in zip(times["bare"], each, strict=True))
                print(f"  {name:<22}{middle:>10.0f}{ratio:>10.3f}{throughput(work, middle)}")
            os.chdir(folder)
    print(f"\nTargets: ours at most {MOST:.2f} times bare, and less than each of the frameworks.")


if __name__ == "__main__":
    main()
