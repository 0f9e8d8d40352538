"""How fast batches of tokens come, beside the limit and beside PyTorch's DataLoader.

All give batches of windows, drawn at random from the same memory-mapped tokens of a rendered
project, the token after each window included:

- memcpy copies as many bytes in one piece, from one place after the other, into memory that is new
  each time, since a batch is handed out: the limit. Into the same memory again and again it is
  faster still, which is shown too;
- slices takes each window out of the map and stacks them, as a person would write it;
- ours is what training calls: the order of the epoch, the gather, the tensors;
- DataLoader has a dataset that gives one window, shuffled and collated as its documentation shows,
  in this process and with two workers.

    python benchmarks/loader.py PROJECT

Prints µs a batch, medians, and medians of the ratios within a round. Target: at most 1.5 times
memcpy for the half million tokens that a step of GPT-2 small takes. What a call costs in Python,
some 5 µs whatever the size, outweighs smaller batches, and nothing beside the step that follows.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loop import project
from torch.utils.data import DataLoader, Dataset

MOST = 1.5
SHAPES = ((8, 256), (64, 1024), (480, 1024))  # windows, tokens: small.toml to GPT-2


class Windows(Dataset[Any]):
    """One window and the tokens that follow, as PyTorch's documentation shows a dataset."""

    def __init__(self, path: Path, window: int) -> None:
        self._tokens, self._window = np.memmap(path, np.uint8, mode="r"), window

    def __len__(self) -> int:
        return (len(self._tokens) - 1) // self._window

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        found = np.array(self._tokens[row * self._window : (row + 1) * self._window + 1])
        return torch.as_tensor(found[:-1]), torch.as_tensor(found[1:])


def memcpy(tokens: Any, batch: int, window: int, steps: int, *, anew: bool) -> Iterator[Any]:
    """As many bytes, in one piece."""
    size = batch * (window + 1)
    target, places = np.empty(size, tokens.dtype), (len(tokens) - size) // size
    for step in range(steps):
        first = step % places * size
        if anew:
            target = np.empty(size, tokens.dtype)
        np.copyto(target, tokens[first : first + size])
        yield target


def slices(tokens: Any, batch: int, window: int, steps: int) -> Iterator[Any]:
    """Windows, one by one."""
    random, windows = np.random.default_rng(0), (len(tokens) - 1) // window
    for _ in range(steps):
        rows = random.integers(0, windows, size=batch) * window
        found = np.stack([tokens[first : first + window + 1] for first in rows])
        yield torch.as_tensor(found[:, :-1]), torch.as_tensor(found[:, 1:])


def seconds(batches: Callable[[], Iterator[Any]], steps: int) -> float:
    """For a batch, from the first one on: workers start before that."""
    waiting = iter(batches())
    next(waiting)
    began = time.perf_counter()
    for _ in range(steps - 1):
        next(waiting)
    return (time.perf_counter() - began) / (steps - 1)


def measure(package: Any, context: int, batch: int, rounds: int, steps: int) -> None:
    """One shape of batches."""
    config = package.config.from_dict({"data": {"context": context}})
    training = package.training.loop.load_split(config, "train")
    path = training.folder / "train.tokens"
    tokens = np.memmap(path, np.uint8, mode="r").view(np.ndarray)
    steps = min(steps, (len(training) // batch))
    order = package.data.loader.BatchOrder(records=len(training), batch_size=batch, seed=0)
    load, windows = package.data.loader.load, Windows(path, context)
    kinds: dict[str, Callable[[], Iterator[Any]]] = {
        "memcpy": lambda: memcpy(tokens, batch, context, steps, anew=True),
        "memcpy, same memory": lambda: memcpy(tokens, batch, context, steps, anew=False),
        "slices": lambda: slices(tokens, batch, context, steps),
        "ours": lambda: iter(load(training, order.steps(0, steps), 0)),
        "DataLoader": lambda: iter(DataLoader(windows, batch, shuffle=True)),
        "DataLoader, 2 workers": lambda: iter(
            DataLoader(windows, batch, shuffle=True, num_workers=2)
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(rounds + 1):
        for name in kinds if number % 2 else reversed(kinds):
            found = seconds(kinds[name], steps)
            if number:  # the first round warms up
                times[name].append(found * 1e6)
    title = f"{batch} windows of {context} tokens"
    print(f"{title:<28}{'µs a batch':>10}{'x memcpy':>10}")
    for name, each in times.items():
        ratio = statistics.median(b / a for a, b in zip(times["memcpy"], each, strict=True))
        print(f"  {name:<26}{statistics.median(each):>10.1f}{ratio:>10.2f}")


def main() -> None:
    """Each shape."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("project", type=Path, help="a rendered project with this starter")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    package = project(options.project.resolve())
    for batch, context in SHAPES:
        measure(package, context, batch, options.rounds, options.steps)
    print(f"Target: ours at most {MOST} times memcpy for the largest batches.")


if __name__ == "__main__":
    main()
