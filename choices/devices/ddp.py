# The template's: updates improve this file and keep your edits.
"""Several processes, started by torchrun, share a batch. Each has the whole model.

A run ends with the same bits on 1, 2, 4, … processes, since nothing depends on which of them
computes what: the size of a part is a setting, the random numbers of a part are its own, and
losses and gradients are added in the order of a tree whose leaves are the parts. An all-reduce of
gloo or NCCL adds in an order that depends on the number of processes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn

from . import hardware, processes
from .files import sha256
from .processes import LEAD, from_lead

SAVES = LEAD
BUCKET = 2**24  # bytes of gradients that are sent at once

select_device, autocast, to_device = hardware.select_device, hardware.autocast, hardware.to_device
seed_everything, describe = hardware.seed_everything, hardware.describe
peak_memory = hardware.peak_memory
process_group, our_parts = processes.process_group, processes.our_parts
agree, compute_shared = processes.agree, processes.compute_shared
load_file, load_model = safetensors.torch.load_file, safetensors.torch.load_model


def distribute(model: nn.Module, device: torch.device) -> None:
    processes.refuse_statistics(model)


def restore(state: Any, checkpoints: Any) -> None:
    """Give every process the state of the lead, which alone reads a checkpoint."""
    from .checkpoint import load_optimizer, module_tensors, optimizer_tensors  # imports this file

    checkpoints.restore(state)
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


def sum_and_clip(weights: list[Tensor], loss: Tensor, max_norm: float) -> tuple[Tensor, Tensor]:
    """Sum the gradients, in place, and the losses. Returns the loss and the gradient norm."""
    if dist.is_initialized():
        _sum_gradients(weights, loss)
    return loss, nn.utils.clip_grad_norm_(weights, max_norm)


def _sum_gradients(weights: list[Tensor], loss: Tensor) -> None:
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
    missing = stretch * size - len(ours)
    sent = nn.functional.pad(ours, (0, missing)) if missing else ours
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


def save_files(files: Mapping[str, Mapping[str, Tensor]], folder: Path) -> dict[str, str]:
    """Returns the checksums of all files in the folder."""
    for name, tensors in files.items():
        safetensors.torch.save_file(dict(tensors), folder / f"{name}.safetensors")
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}
