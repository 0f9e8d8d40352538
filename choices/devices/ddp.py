# The template's: updates improve this file and keep your edits.
"""Device, precision and random seeds. Several processes, started by torchrun, share a batch.

A run ends with the same bits on 1, 2, 4, … processes, since nothing depends on which of them
computes what: the size of a part is a setting, the random numbers of a part are its own, and
losses and gradients are added in the order of a tree whose leaves are the parts. An all-reduce of
gloo or NCCL adds in an order that depends on the number of processes.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..config import TrainingConfig
from ..errors import ConfigError
from . import processes
from .checkpoint import TrainState, load_optimizer, module_tensors, optimizer_tensors
from .processes import LEAD, RANK, WORLD, from_lead, gather

BUCKET = 2**24  # bytes of gradients that are sent at once
process_group = processes.process_group


def select_device(config: TrainingConfig) -> torch.device:
    """
    Raises:
        ConfigError: this machine doesn't have the device.
    """
    mps = (
        torch.backends.mps.is_available() and not dist.is_initialized()
    )  # gloo can't send its tensors
    present = {"cuda": torch.cuda.is_available(), "mps": mps}
    available = [*(name for name, is_present in present.items() if is_present), "cpu"]
    name = available[0] if config.device == "auto" else config.device
    if name not in available:
        expected = ", ".join(["auto", *available])
        raise ConfigError(f"training.device: {name} isn't available here; expected {expected}")
    if name == "cuda":  # https://docs.pytorch.org/docs/stable/notes/randomness.html
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        if dist.is_initialized():
            index, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
            if index >= count:
                raise ConfigError(f"expected at most {count} processes here, one for each GPU")
            torch.cuda.set_device(index)
            return torch.device(name, index)
    return torch.device(name)


def autocast(device: torch.device, config: TrainingConfig) -> AbstractContextManager[object]:
    if config.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)  # copies during the computation
    return tensor.to(device)


def seed_everything(seed: int, device: torch.device) -> None:
    """Seed every global generator.

    Called in each step with the step's own seed, so that no generator's state has to be saved.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - for libraries that draw from it
    torch.default_generator.manual_seed(seed)  # a hundredth of the time of torch.manual_seed
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def describe(device: torch.device) -> dict[str, Any]:
    """The hardware, which affects the last bits of a result."""
    model = torch.backends.cpu.get_cpu_capability()  # such as AVX512
    if device.type == "cuda":
        model = torch.cuda.get_device_name(device)
    return {"type": device.type, "model": model, "threads": torch.get_num_threads()}


def peak_memory(device: torch.device) -> int:
    """In bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# --- what the processes share ----------------------------------------------------------------


def distribute(module: nn.Module) -> None:
    """
    Raises:
        ConfigError: the module learns from its inputs: each process would learn something else.
    """
    if WORLD > 1 and getattr(module, "track_running_stats", False):
        name, advice = type(module).__name__, "GroupNorm or LayerNorm, or one process"
        raise ConfigError(f"models/network.py: {name} keeps running statistics; use {advice}")


def broadcast(state: TrainState) -> None:
    """Give every process the state of the lead, which alone has read a checkpoint."""
    if not dist.is_initialized():
        return
    for module in state.modules.values():
        weights = from_lead(lambda module=module: safetensors.torch.save(module_tensors(module)))
        if not LEAD:
            module.load_state_dict(safetensors.torch.load(weights), strict=False)  # tied ones once
    moments = from_lead(lambda: safetensors.torch.save(optimizer_tensors(state.optimizer)))
    progress = from_lead(lambda: json.dumps(state.progress()).encode())
    if not LEAD:
        load_optimizer(state, safetensors.torch.load(moments), Path("of the lead"))
        state.step, state.best_step, state.best_value = json.loads(progress).values()


def our_parts(parts: int) -> range:
    if not dist.is_initialized():
        return range(parts)
    each = parts // WORLD
    return range(RANK * each, (RANK + 1) * each)


def sum_over_processes(weights: list[Tensor], loss: Tensor) -> Tensor:
    """Sum the gradients, in place, and the losses."""
    if not dist.is_initialized():
        return loss
    # One that no process has stays away, or the weight would decay.
    present = torch.tensor([weight.grad is not None for weight in weights], dtype=torch.uint8)
    dist.all_reduce(present, dist.ReduceOp.MAX)
    tensors = [loss]
    for weight, is_present in zip(weights, present.tolist(), strict=True):
        if is_present:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            tensors.append(weight.grad)
    for bucket in _buckets(tensors):
        whole = _sum(torch.cat([tensor.flatten() for tensor in bucket]), processes.levels)
        sums = whole.split([tensor.numel() for tensor in bucket])
        for tensor, total in zip(bucket, sums, strict=True):
            tensor.copy_(total.view_as(tensor))
    return loss


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for tensor in tensors:
        size = sum(other.nbytes for other in bucket)
        if bucket and (size + tensor.nbytes > BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    yield bucket


def _sum(ours: Tensor, levels: Sequence[Any]) -> Tensor:
    """Each process adds up a stretch, in the order of a tree, and tells the others."""
    if not levels:
        return ours
    size = dist.get_world_size(levels[0])
    stretch = -(-len(ours) // size)
    sent = nn.functional.pad(ours, (0, stretch * size - len(ours)))
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent, group=levels[0])
    branches = list(received.view(size, stretch))
    while len(branches) > 1:
        pairs = zip(branches[::2], branches[1::2], strict=False)
        branches = [a + b for a, b in pairs] + branches[len(branches) // 2 * 2 :]
    new = hasattr(dist, "all_gather_single")  # since torch 2.13
    all_gather = getattr(dist, "all_gather_single" if new else "all_gather_into_tensor")
    all_gather(sent, _sum(branches[0], levels[1:]), group=levels[0])
    return sent[: len(ours)]


def agree(stop: object, seconds: float, waited: float) -> tuple[str, float, float]:
    """A signal that any process has heard, and the clocks of the lead.

    On the CPU, so that nothing waits for a GPU.
    """
    name = getattr(stop, "signal_name", "")
    if not dist.is_initialized():
        return name, seconds, waited
    clocks = (seconds, waited) if LEAD else (0.0, 0.0)
    agreed = torch.tensor([signal.Signals[name] if name else 0, *clocks], dtype=torch.float64)
    dist.all_reduce(agreed, dist.ReduceOp.MAX)
    number, seconds, waited = agreed.tolist()
    processes.stopping = number > 0
    return signal.Signals(int(number)).name if number else "", seconds, waited


def compute_shared(function: Callable[[Any], Any], keys: Iterable[Any]) -> Iterable[Any]:
    """The results for all keys, in their order; each is computed by one process."""
    if not dist.is_initialized():
        return map(function, keys)
    ours = {
        f"{number} {place}": np.asarray(array, order="C")
        for number, key in enumerate(keys)
        if number % WORLD == RANK
        for place, array in enumerate(function(key))
    }
    results: dict[int, list[Any]] = {}
    for content in gather(safetensors.numpy.save(ours)):
        arrays = safetensors.numpy.load(content)
        for name in sorted(arrays, key=lambda name: [int(word) for word in name.split()]):
            results.setdefault(int(name.split()[0]), []).append(arrays[name])
    return [results[number] for number in sorted(results)]
