# The template's: updates improve this file and keep your edits.
"""The order of the batches, as a function of the seed and the step.

So nothing about it has to be saved: a run that resumes at a step gets the batches that an
uninterrupted run would have got, with any number of workers.
"""

import hashlib
import signal
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

Batch = tuple[Tensor, Tensor]  # inputs and targets, (B, ...) each


class BatchKey(NamedTuple):
    """Identifies a batch. Together with the seed, it determines all that is random about it."""

    epoch: int
    position: int  # of the batch in its epoch
    rows: NDArray[np.int64]  # (B,)


def derive_seed(*key: int | str) -> int:
    """A 64-bit seed for one purpose; different keys give independent random numbers."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big")


def generator(*key: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(*key))


def permutation(size: int, *key: int | str) -> NDArray[np.int64]:
    return np.random.default_rng(derive_seed(*key)).permutation(size)


def batch_keys(size: int, batch_size: int, seed: int, start: int, stop: int) -> Iterator[BatchKey]:
    """The batches of the steps from `start` up to `stop`, without `stop`.

    Each epoch is a new permutation of all examples, without those that don't fill a batch. It takes
    8 bytes per example; above some ten million examples, permute blocks instead.
    """
    batches_per_epoch = size // batch_size
    permuted_epoch, order = -1, np.empty(0, dtype=np.int64)
    for step in range(start, stop):
        epoch, position = divmod(step, batches_per_epoch)
        if epoch != permuted_epoch:
            order = permutation(size, seed, "order", epoch)
            permuted_epoch = epoch
        first = position * batch_size
        yield BatchKey(epoch, position, order[first : first + batch_size])


def load_batches(dataset: Any, keys: Iterable[BatchKey], workers: int) -> Iterator[Batch]:
    """The batches of the given keys, loaded by so many processes (0: by this one)."""
    if workers == 0:
        return map(dataset.__getitem__, keys)
    loader = DataLoader(
        dataset, sampler=keys, batch_size=None, num_workers=workers, worker_init_fn=_ignore_signals
    )
    return iter(loader)


def _ignore_signals(worker: int) -> None:
    """Ctrl-C and schedulers signal all processes, but only the training process stops the run."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):  # Windows has no SIGUSR1
            signal.signal(getattr(signal, name), signal.SIG_IGN)
