"""What the generated loop costs beside a bare one: `make bench`, or run this in `.venv-project`.

Both train the same small network on the same records with the same augmentation, clipping, AdamW
and learning-rate schedule, alternating in one process. The bare loop is what a person writes in a
quarter of an hour: a shuffled order, the step, nothing else. Ours logs, seeds each step, shows
progress and saves checkpoints. The network is small, so that the overhead shows; with a larger one
it vanishes. Evaluation is left out of both, since it is work and not overhead.

Prints medians and ratios of the time per step. Target: at most 1.10.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

STARTERS = {
    "image": {"model": {"channels": 4}, "training": {"batch_size": 64}},
    "blank": {"model": {"hidden": 64}, "training": {"batch_size": 16}},
}


def project(folder: Path, package: str) -> Any:
    """The package of a rendered project, importable and with its folder as the current one."""
    sys.path.insert(0, str(folder / "src"))
    os.chdir(folder)
    for name in (
        "cli",
        "config",
        "data.loader",
        "features.transforms",
        "models.network",
        "training.checkpoint",
        "training.loop",
        "training.optimizer",
        "training.run",
    ):
        importlib.import_module(f"{package}.{name}")
    return sys.modules[package]


def bare(package: Any, config: Any, records: Any) -> float:
    """Seconds a step of a hand-written loop."""
    import numpy as np
    import torch

    augment = partial(package.features.transforms.augment, config=config.features)
    prepare, losses = package.features.transforms.prepare, package.models.network.losses
    inputs, labels = np.array(records.inputs), torch.from_numpy(records.labels)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    settings = config.training
    model = package.training.loop.build_network(config, records)
    optimizer = package.training.optimizer.build_optimizer(model, settings)
    rate = package.training.optimizer.learning_rate
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate(step, settings) / settings.learning_rate
    )
    batches = len(labels) // settings.batch_size
    step, began = 0, time.perf_counter()
    while step < settings.max_steps:
        order = random.permutation(len(labels))
        for position in range(batches):
            rows = order[position * settings.batch_size : (position + 1) * settings.batch_size]
            x = torch.from_numpy(augment(prepare(inputs[rows]), random))
            loss = losses(model(x), labels[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
            optimizer.step()
            schedule.step()
            step += 1
            if step == settings.max_steps:
                break
    return (time.perf_counter() - began) / settings.max_steps


def ours(
    package: Any, config: Any, training: Any, validation: Any, number: int
) -> tuple[float, float]:
    """Seconds a step of the generated loop besides evaluating: without saving, and for saving."""
    from rich.console import Console

    loop = package.training.loop
    run = package.training.run.Run.create(f"bench-{number}", config, "data")
    clock: dict[str, float] = {}
    store = package.training.checkpoint.CheckpointStore

    def timed(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            began = time.perf_counter()
            found = function(*arguments)
            clock[name] = clock.get(name, 0.0) + time.perf_counter() - began
            return found

        return call

    predict, save = loop.predict, store.save
    loop.predict, store.save = timed("evaluating", predict), timed("saving", save)
    with contextlib.redirect_stdout(io.StringIO()), run.locked():
        began = time.perf_counter()
        loop.train(config, run, training, validation, Console(file=io.StringIO()))
        seconds = time.perf_counter() - began
    loop.predict, store.save = predict, save
    steps = config.training.max_steps
    return (seconds - clock["evaluating"] - clock["saving"]) / steps, clock["saving"] / steps


def main() -> None:
    """Measure both starters."""
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s [options] PROJECT…")
    parser.add_argument("projects", nargs="+", type=Path, help="rendered projects, one a starter")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5000)
    options = parser.parse_args()
    folders = [folder.resolve() for folder in options.projects]
    import torch

    torch.set_num_threads(1)
    print("µs a step, medians; target 1.10; a checkpoint every 500 steps is shown apart")
    print(f"{'starter':<10}{'bare':>10}{'ours':>10}{'ratio':>8}{'saving':>10}{'ratio with':>12}")
    for folder in folders:
        (package_folder,) = (path.parent for path in (folder / "src").glob("*/cli.py"))
        package = project(folder, package_folder.name)
        starter = "blank" if (folder / "data/records.csv").exists() else "image"
        with tempfile.TemporaryDirectory() as scratch:
            os.chdir(scratch)
            data = {"cache_dir": str(Path(scratch) / "cache")}
            if starter == "blank":
                data["path"] = str(folder / "data/records.csv")
            stated = package.config.merge(
                STARTERS[starter],
                {"data": data, "training": {"max_steps": options.steps, "evaluate_every": 10**9}},
            )
            config = package.config.from_dict(stated)
            training = package.training.loop.records(config, "train")
            validation = package.training.loop.records(config, "validation")
            times: dict[str, list[float]] = {"bare": [], "ours": [], "saving": []}
            for number in range(options.rounds + 1):
                first = bare(package, config, training)
                second, saving = ours(package, config, training, validation, number)
                if number:  # the first round warms up
                    times["bare"].append(first * 1e6)
                    times["ours"].append(second * 1e6)
                    times["saving"].append(saving * 1e6)
            medians = {name: statistics.median(each) for name, each in times.items()}
            rounds = list(zip(times["bare"], times["ours"], times["saving"], strict=True))
            ratio = statistics.median(b / a for a, b, _ in rounds)
            full = statistics.median((b + c) / a for a, b, c in rounds)
            print(
                f"{starter:<10}{medians['bare']:>10.0f}{medians['ours']:>10.0f}{ratio:>8.3f}"
                f"{medians['saving']:>10.0f}{full:>12.3f}"
            )
            os.chdir(folder)


if __name__ == "__main__":
    main()
