# The template's: updates improve this file and keep your edits.
"""Several processes, started by torchrun: one group, one writer, one message, one exit code."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import safetensors.numpy
import torch
import torch.distributed as dist
from torch import nn

from ..config import TrainingConfig
from ..errors import ConfigError, Interrupted, TrainingError
from . import run

RANK, WORLD = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
LEAD = RANK == 0  # whether this process writes and prints: one of them does
CONTINUE = os.environ.get("ML_ARCHITECT_CONTINUE", "the same command and --or-resume")

levels: list[Any] = []  # groups of processes; on several machines, those of a machine come first
stopping = False  # whether all have agreed on it


@contextmanager
def process_group(config: TrainingConfig) -> Generator[None]:
    """Be one of the processes that torchrun started, if it did.

    Only the lead writes and prints; the others write to a temporary folder. If one fails, torchrun
    ends the others, and reports the one that ended first.
    """
    if "RANK" not in os.environ:
        yield
        return
    # A scheduler signals each process, and torchrun passes it on; it kills those that hang.
    run.StopRequest.at_second = signal.SIG_IGN
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timedelta(minutes=config.timeout_minutes))
    try:
        with _followers_elsewhere():
            dist.barrier()  # one that fails and leaves would break the start of the others
            _connect(config)
            yield
    except Interrupted as error:
        if stopping:  # torchrun ends all as soon as one has ended, and the lead is saving
            with suppress(RuntimeError):
                dist.all_reduce(torch.zeros(1))
        if not LEAD:
            sys.exit(error.exit_code)
        message, *_ = str(error).split("Continue with: ")  # one process
        raise Interrupted(f"{message}Continue with: {CONTINUE}") from None
    except Exception as error:
        # Told that another one has ended before, which torchrun reports, end silently.
        signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
        is_lost = isinstance(error, dist.DistError) or "gloo" in str(error)
        time.sleep(2 if is_lost else 0 if LEAD else 1)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not is_lost:
            raise
        cause = re.sub(r"^\[\S+\] |\. .*", "", str(error))  # without gloo's line, and its advice
        raise TrainingError(
            f"process {RANK} of {WORLD} lost another one, which failed, was killed, hangs or is "
            f"out of reach ({cause}); look at what it printed last. Continue with: {CONTINUE}"
        ) from None
    finally:
        dist.destroy_process_group()
    if not LEAD:
        sys.exit(0)  # the lead reports the result


def _connect(config: TrainingConfig) -> None:
    each = config.parts // WORLD
    if each * WORLD != config.parts or each & (each - 1):
        expected = f"{WORLD} processes times 1, 2, 4, …"
        raise ConfigError(f"training.parts: expected {expected} (got {config.parts})")
    local = int(os.environ.get("LOCAL_WORLD_SIZE", WORLD))
    if WORLD % local == 0 and local < WORLD and local & (local - 1) == 0:
        # Between machines, only what those of equal number on each machine have added is sent.
        inner = [dist.new_group(range(at, at + local)) for at in range(0, WORLD, local)]
        outer = [dist.new_group(range(at, WORLD, local)) for at in range(local)]
        levels[:] = [inner[RANK // local], outer[RANK % local]]
    else:
        levels[:] = [dist.group.WORLD]


@contextmanager
def _followers_elsewhere() -> Generator[None]:
    if LEAD:
        yield
        return
    with TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        run.RUNS = Path(folder)
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield


def from_lead(content: Callable[[], bytes]) -> bytes:
    """What the lead has; the others don't compute theirs."""
    said = bytearray(content() if LEAD else b"")
    size = torch.tensor(len(said))
    dist.broadcast(size, 0)
    said = said or bytearray(int(size))
    dist.broadcast(torch.frombuffer(said, dtype=torch.uint8), 0)
    return bytes(said)


def gather(content: bytes) -> list[bytes]:
    """What each process has, in their order."""
    sizes = torch.zeros(WORLD, dtype=torch.int64)
    sizes[RANK] = len(content)
    dist.all_reduce(sizes)
    padded = torch.zeros(WORLD, int(sizes.max()), dtype=torch.uint8)
    padded[RANK, : len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    dist.all_gather(list(padded), padded[RANK].clone())
    return [row[:size].numpy().tobytes() for row, size in zip(padded, sizes, strict=True)]


def our_parts(parts: int) -> range:
    if not dist.is_initialized():
        return range(parts)
    each = parts // WORLD
    return range(RANK * each, (RANK + 1) * each)


def refuse_statistics(model: nn.Module) -> None:
    """
    Raises:
        ConfigError: a module learns from its inputs: each process would learn something else.
    """
    for module in model.modules() if WORLD > 1 else ():
        if getattr(module, "track_running_stats", False):
            name, advice = type(module).__name__, "GroupNorm or LayerNorm, or one process"
            raise ConfigError(f"models/network.py: {name} keeps running statistics; use {advice}")


def agree(stop: object, seconds: float, waited: float) -> tuple[str, float, float]:
    """A signal that any process has heard, and the clocks of the lead.

    On the CPU, so that nothing waits for a GPU.
    """
    name = getattr(stop, "signal_name", "")
    if not dist.is_initialized():
        return name, seconds, waited
    clocks = (seconds, waited) if LEAD else (0.0, 0.0)
    global stopping
    agreed = torch.tensor([signal.Signals[name] if name else 0, *clocks], dtype=torch.float64)
    dist.all_reduce(agreed, dist.ReduceOp.MAX)
    number, seconds, waited = agreed.tolist()
    stopping = number > 0
    return signal.Signals(int(number)).name if number else "", seconds, waited


def compute_shared(function: Callable[[Any], Any], keys: Iterable[Any]) -> Iterable[Any]:
    """The results for all keys, in their order; each is computed by one process.

    Those that have nothing left to compute repeat the last, since with shards of a model all have
    to compute at the same time.
    """
    if not dist.is_initialized():
        return map(function, keys)
    keys = list(keys)
    ours: dict[str, Any] = {}
    # What shards were gathered to in inference mode couldn't be trained.
    with torch.inference_mode(mode=False), torch.no_grad():
        for first in range(0, len(keys), WORLD):
            number = min(first + RANK, len(keys) - 1)
            for place, array in enumerate(function(keys[number])):
                ours[f"{number} {place}"] = np.asarray(array, order="C")
    results: dict[int, dict[int, Any]] = {}
    for content in gather(safetensors.numpy.save(ours)):
        for name, array in safetensors.numpy.load(content).items():
            number, place = map(int, name.split())
            results.setdefault(number, {})[place] = array
    return [[arrays[place] for place in sorted(arrays)] for _, arrays in sorted(results.items())]
