# The template's: updates improve this file and keep your edits.
"""The order of the batches, as a function of the seed and the step.

So nothing about it has to be saved: a run that resumes at a step gets the batches that an
uninterrupted run would have got, with any number of workers.
"""

import atexit
import hashlib
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from multiprocessing import active_children, parent_process
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from ..errors import Interrupted, TrainingError

Batch = tuple[Tensor, Tensor]  # inputs and targets, (B, ...) each
MAX_SHUFFLED = 10_000_000  # examples whose permutation is held in memory: 8 bytes each
MIX = 0xBF58476D1CE4E5B9  # of SplitMix64: its product carries each bit to the higher ones
TIMEOUT = 300  # seconds that workers may take for a batch
STOP_TIMEOUT = 10  # the same once the run has to stop; schedulers kill it soon


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


def permutation(size: int, *key: int | str, places: slice = slice(None)) -> NDArray[np.int64]:
    """What is at these places of a permutation of so many examples.

    Of more than MAX_SHUFFLED, only these places are computed. Four rounds of a Feistel network
    permute the numbers of twice `bits` bits; one that isn't an example goes through them again.
    Source: Black and Rogaway (2002), https://doi.org/10.1007/3-540-45760-7_9.
    """
    if size <= MAX_SHUFFLED:
        return _shuffled(size, *key)[places]
    bits = ((size - 1).bit_length() + 1) // 2
    round_keys = np.random.default_rng(derive_seed(*key)).integers(2**64, size=4, dtype=np.uint64)
    rows = np.arange(*places.indices(size), dtype=np.uint64)
    outside = np.full(len(rows), fill_value=True)
    while outside.any():
        left, right = rows[outside] >> bits, rows[outside] & 2**bits - 1
        for round_key in round_keys:
            mixed = (right + round_key) * MIX
            mixed = (mixed ^ mixed >> 32) * MIX
            left, right = right, left ^ mixed >> 64 - bits
        rows[outside] = left << bits | right
        outside = rows >= size
    return rows.astype(np.int64)


@lru_cache(maxsize=1)
def _shuffled(size: int, *key: int | str) -> NDArray[np.int64]:
    return np.random.default_rng(derive_seed(*key)).permutation(size)


def batch_keys(size: int, batch_size: int, seed: int, start: int, stop: int) -> Iterator[BatchKey]:
    """The batches of the steps from `start` up to `stop`, without `stop`.

    Each epoch is a new permutation of all examples, without those that don't fill a batch.
    """
    for step in range(start, stop):
        epoch, position = divmod(step, size // batch_size)
        places = slice(position * batch_size, (position + 1) * batch_size)
        yield BatchKey(epoch, position, permutation(size, seed, "order", epoch, places=places))


def part_keys(keys: Iterable[BatchKey], parts: int, ours: range) -> Iterator[BatchKey]:
    """Our parts of each batch, one after the other. Each is augmented on its own."""
    for epoch, position, rows in keys:
        for part in ours:
            yield BatchKey(epoch, parts * position + part, np.split(rows, parts)[part])


def load_batches(
    dataset: Any, keys: Iterable[BatchKey], workers: int, stop: object = None
) -> Iterator[Batch]:
    """The batches of the given keys, loaded by so many processes (0: by this one).

    The processes end with the batches or with this process, whatever they do.

    Raises, while a batch is waited for:
        TrainingError: a worker was killed, or takes too long.
        Interrupted: `stop` is true, and no batch arrives that the last step could be made with.
    """
    if workers == 0:
        return map(dataset.__getitem__, keys)
    others = active_children()
    loader = DataLoader(
        dataset, sampler=keys, batch_size=None, num_workers=workers, worker_init_fn=_init, timeout=1
    )
    try:
        batches = iter(loader)
    finally:
        processes = [child for child in active_children() if child not in others]
        atexit.register(_kill, processes)  # an error may keep the batches alive until then
    with suppress(AttributeError, ValueError):  # on Windows, and in a thread, there is none
        # Torch's handler raises an error wherever this process is, say in a checkpoint.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return _receive(batches, stop, processes)


def _receive(batches: Iterator[Batch], stop: object, processes: Any) -> Iterator[Batch]:
    waited = 0  # seconds, counted by the loader's timeout of one
    try:
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (RuntimeError, OSError, EOFError) as error:  # the latter two of a dead worker
                waited += 1
                if str(error).startswith("Caught "):  # raised by the dataset
                    raise
                if stop and waited >= STOP_TIMEOUT:
                    message = "resume the run, to continue from its last checkpoint"
                    raise Interrupted(f"stopped while no batch arrived; {message}") from None
                if waited < TIMEOUT and str(error).startswith("DataLoader timed out"):
                    continue
                cause = f"no batch for {TIMEOUT} s" if waited >= TIMEOUT else error
                raise TrainingError(
                    f"training.workers: {cause}. Do they hang, or lack memory or room in /dev/shm? "
                    "Try another number of them (0: none), and resume the run"
                ) from None
            waited = 0
            yield batch
    finally:
        _kill(processes)


def _kill(processes: Any) -> None:
    for process in processes:
        process.kill()  # as it may hang


def _init(worker: int) -> None:
    """Ctrl-C and schedulers signal all processes, but only the training process stops the run."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"):
        if hasattr(signal, name):  # Windows has two of them
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
    os._exit(1)
