"""Tokens a second and model FLOP utilisation on one GPU: GPT-2 small's size, in bfloat16.

Trains a rendered project's network (`model.size` 12, a vocabulary of 50,257, no n-grams: 124
million weights) on random tokens, once with the project's `train` as it is, logging and progress
bar included, and once with a bare PyTorch loop: the same network, optimizer, clipping, precision,
batches that lie ready on the device, and nothing else. Both take turns; the first steps of a run,
in which kernels are chosen or compiled, aren't counted, nor is the checkpoint at its end.

Utilisation is the share of the GPU's peak that the network's own products take, by
`flops_per_token` beside it (PaLM, appendix B, https://arxiv.org/abs/2204.02311).

    python benchmarks/gpu.py PROJECT             # on a GPU
    python benchmarks/gpu.py PROJECT --compile
    python benchmarks/gpu.py PROJECT --smoke     # anywhere: whether it runs

Prints medians, and the median of the ratios within a round. Target: at most 1.05 times bare.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from loop import Terminal, clock, peak, project, quiet
from peers import LOG_EVERY, Work

MOST = 1.05
GPT_2 = {"vocabulary": 50_257, "context": 1024, "size": 12, "batch": 32}
TINY = {"vocabulary": 300, "context": 32, "size": 1, "batch": 4}


def write_tokens(folder: Path, vocabulary: int, context: int, windows: int) -> None:
    """Random tokens, as data/dataset.py expects them."""
    import numpy as np

    random = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        size = windows * context + 1
        random.integers(1, vocabulary, size=size, dtype=np.uint16).tofile(
            folder / f"{split}.tokens"
        )
        np.save(folder / f"{split}.ends.npy", np.array([1, size]))
        np.save(folder / f"{split}.bytes.npy", np.array([2 * size]))
        (folder / f"{split}.documents.json").write_text('["random"]', encoding="utf-8")
    layout = {"dtype": "uint16", "window": context, "vocabulary": vocabulary}
    (folder / "layout.json").write_text(json.dumps(layout), encoding="utf-8")


class Stamps:
    """When the batch after the warm-up was asked for, and when the last one was."""

    def __init__(self, work: Work, warm_up: int) -> None:
        self._clock, self._first, self._last = work.clock, warm_up, work.steps - 1
        self._at: list[float] = []

    def on(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The same batches."""
        for number, batch in enumerate(batches):
            if number in {self._first, self._last}:
                self._at.append(self._clock())
            yield batch

    @property
    def seconds(self) -> float:
        """Of a step in between."""
        began, ended = self._at
        return (ended - began) / (self._last - self._first)


def bare(work: Work, warm_up: int) -> float:
    """Seconds a step of a hand-written loop."""
    import torch

    device = work.package.training.device.Device.choose(work.config.training)
    model = work.network().to(device.name)
    if work.config.training.compile:
        model.compile()
    optimizer, stamps = work.optimizer(model), Stamps(work, warm_up)
    pairs = (work.gather(rows) for rows in islice(work.rows(), 4))
    ready = [tuple(each.to(device.name) for each in pair) for pair in pairs]
    for inputs, labels in stamps.on(ready[step % 4] for step in range(work.steps)):
        with device.autocast():
            loss = work.loss(model, inputs, labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), work.config.training.gradient_clip)
        optimizer.step()
    return stamps.seconds


def ours(work: Work, warm_up: int) -> float:
    """Seconds a step of the project's loop."""
    from rich.console import Console

    loop, stamps = work.package.training.loop, Stamps(work, warm_up)
    run = work.package.training.run.Run.create("gpu", work.config, "data", scratch=True)
    original = loop.load

    def load(*arguments: Any) -> Iterator[Any]:
        return stamps.on(original(*arguments))

    loop.load = load
    try:
        with run.locked():
            loop.train(work.config, run, work.records, work.records, Console(file=Terminal()))
    finally:
        loop.load = original
    return stamps.seconds


def main() -> None:
    """Take turns and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("project", type=Path, help="a rendered project with this starter")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--batch", type=int, help="windows in a batch")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="a tiny network, wherever it runs")
    options = parser.parse_args()
    os.environ["TERM"] = "xterm-256color"  # or no bar is drawn
    import torch

    if not (torch.cuda.is_available() or options.smoke):
        parser.error("there is no GPU here; --smoke tries it at a tiny size")
    package, shape = project(options.project.resolve()), TINY if options.smoke else GPT_2
    batch = options.batch or shape["batch"]
    config = package.config.from_dict(
        {
            "data": {"context": shape["context"]},
            "model": {"size": shape["size"], "ngrams": 1},
            "training": {
                "batch_size": batch,
                "max_steps": options.steps,
                "warmup_steps": 0,
                "learning_rate": 1e-4,
                "log_every": LOG_EVERY,
                "evaluate_every": 10**9,
                "precision": "bfloat16",
                "compile": options.compile,
            },
        }
    )
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        write_tokens(Path(scratch), shape["vocabulary"], shape["context"], 4 * batch)
        prepare = package.features.transforms.prepare
        records = package.data.dataset.Dataset(Path(scratch), "train", prepare)
        work = Work(package, config, records, clock("wall"))
        weights = sum(each.numel() for each in work.network().parameters())
        times: dict[str, list[float]] = {"bare": [], "ours": []}
        for number in range(options.rounds):
            for name in ("bare", "ours") if number % 2 else ("ours", "bare"):
                gc.collect()
                with quiet():
                    each = bare if name == "bare" else ours
                    times[name].append(each(work, options.warm_up))
        os.chdir("/")

    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    where_it_ran = f"{weights / 1e6:.1f} million weights on {where}"
    print(f"{where_it_ran}, {batch} windows of {shape['context']} tokens")
    flops, most = package.models.network.flops_per_token(work.network()), peak()
    for name, seconds in times.items():
        rate = batch * shape["context"] / statistics.median(seconds)
        share = f"{rate * flops / most:.1%} of the peak" if most else f"{rate * flops:.3g} FLOP/s"
        print(f"  {name:<8}{rate:>12,.0f} tokens/s   {share}")
    ratio = statistics.median(a / b for a, b in zip(times["ours"], times["bare"], strict=True))
    print(f"ours takes {ratio:.3f} times bare (target: at most {MOST:.2f})")


if __name__ == "__main__":
    main()
