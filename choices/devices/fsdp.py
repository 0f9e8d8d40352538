# The template's: updates improve this file and keep your edits.
"""Several processes, started by torchrun, share a batch and the model, of which each has a shard.

Weights, gradients and the optimizer's state are cut into shards. The weights of a block are
gathered while it computes: https://arxiv.org/abs/2304.11277. A run ends with the same bits on the
same number of processes; on another number, sums are rounded differently.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from ..errors import ConfigError
from . import hardware, processes
from .files import flush, read_json, sha256
from .processes import LEAD, RANK, WORLD, from_lead, gather

SAVES = True  # each process writes its shards
LISTS = nn.ModuleList | nn.ModuleDict

select_device, autocast, to_device = hardware.select_device, hardware.autocast, hardware.to_device
seed_everything, describe = hardware.seed_everything, hardware.describe
peak_memory = hardware.peak_memory
process_group, our_parts = processes.process_group, processes.our_parts
agree, compute_shared = processes.agree, processes.compute_shared


def is_sharded() -> bool:
    return WORLD > 1 and dist.is_initialized()


def distribute(model: nn.Module, device: torch.device) -> None:
    """Cut the weights of each block into shards, then those of the rest of the model.

    Raises:
        ConfigError: the model has what can't be sharded.
    """
    if not is_sharded():
        return
    processes.refuse_statistics(model)
    weights = dict(model.named_parameters())
    for name, weight in weights.items():
        if weight.ndim == 0:
            raise ConfigError(f"models/network.py: {name} can't be cut; give it the shape (1,)")
    mesh = init_device_mesh(device.type, (WORLD,))
    for module in (*find_blocks(model), model):
        sharded = fully_shard(module, mesh=mesh, reshard_after_forward=True)
        # The loss of a part is already divided by the number of all parts.
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(enable=True)
    if len(list(model.parameters())) > len(weights):
        advice = "use them in one block only, or choose devices = ddp"
        raise ConfigError(
            f"models/network.py: blocks share weights, which fsdp separates; {advice}"
        )


def find_blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The modules in the outermost lists and sequences, each of which has to be called."""
    for child in module.children():
        if isinstance(module, LISTS | nn.Sequential) and not isinstance(child, LISTS):
            yield child
        else:
            yield from find_blocks(child)


def sum_and_clip(weights: list[Tensor], loss: Tensor, max_norm: float) -> tuple[Tensor, Tensor]:
    """Sum the losses; the gradients are already. Returns the loss and the gradient norm."""
    if is_sharded():
        dist.all_reduce(loss)
    norm = nn.utils.clip_grad_norm_(weights, max_norm)
    return loss, norm.full_tensor() if isinstance(norm, DTensor) else norm


# --- checkpoints: a file of each process ----------------------------------------------------------

cut_like: dict[str, Mapping[str, Tensor]] = {}  # while a run is restored, its weights, by file


def restore(state: Any, checkpoints: Any) -> None:
    """Let each process read its shards of the checkpoint that the lead has chosen."""
    if not is_sharded():
        checkpoints.restore(state)
        return
    checkpoints.remove_temporary_files()
    choice = from_lead(
        lambda: json.dumps([str(checkpoints.folder.resolve()), checkpoints.latest()]).encode()
    )
    folder, step = json.loads(choice)
    if step is None:
        return
    for name, module in state.modules.items():
        cut_like[name] = module.state_dict(keep_vars=True)
    weights = [weight for each in state.optimizer.param_groups for weight in each["params"]]
    cut_like["optimizer"] = {str(index): weight for index, weight in enumerate(weights)}
    own, checkpoints.folder = checkpoints.folder, Path(folder)
    checkpoints.load(state, step)
    checkpoints.folder = own
    cut_like.clear()


def save_files(files: Mapping[str, Mapping[str, Tensor]], folder: Path) -> dict[str, str]:
    """Write the shards of this process to the folder of the lead, and wait for the others.

    Returns:
        The checksums of all files in that folder.
    """
    if not is_sharded():
        for name, tensors in files.items():
            save_file(dict(tensors), folder / f"{name}.safetensors")
        return {path.name: sha256(path) for path in sorted(folder.iterdir())}

    folder = Path(from_lead(lambda: str(folder.resolve()).encode()).decode())
    paths = [folder / "state.json"] if LEAD else []
    for name, tensors in files.items():
        shards: dict[str, Tensor] = {}
        offsets: dict[str, dict[str, list[int]]] = {}
        for key, tensor in tensors.items():
            offset = [0] * tensor.ndim
            if isinstance(tensor, DTensor):
                offset[0] = our_rows(tensor.shape[0]).start
                shards[key] = tensor.to_local().to("cpu", copy=True)  # tied ones would share it
            elif LEAD:  # all have the same
                shards[key] = tensor
            offsets[key] = {"saved_offsets": offset}
        # As PyTorch's HuggingFaceStorageWriter does, so that HuggingFaceStorageReader can read it.
        path = folder / f"{name}-{RANK + 1:05}-of-{WORLD:05}.safetensors"
        save_file(shards, path, {"DCP_SHARDING_INFO": json.dumps(offsets, sort_keys=True)})
        flush(path)
        paths.append(path)
    ours = {path.name: sha256(path) for path in paths}
    checksums: dict[str, str] = {}
    for each in gather(json.dumps(ours).encode()):
        checksums |= json.loads(each)
    return checksums


def load_file(path: Path) -> dict[str, Tensor]:
    """What any number of processes have written. Of weights that are cut, the rows of this one."""
    name = re.compile(re.escape(path.stem) + r"(-\d{5}-of-\d{5})?\.safetensors")
    slices: dict[str, list[Any]] = {}
    with ExitStack() as stack:
        for each in filter(name.fullmatch, sorted(read_json(path.with_name("manifest.json")))):
            file: Any = stack.enter_context(safe_open(path.with_name(each), framework="pt"))
            for key in file.keys():  # noqa: SIM118 - it isn't a dict
                slices.setdefault(key, []).append(file.get_slice(key))
        weights = cut_like.get(path.stem, {})
        return {
            key: read_rows(found, weights.get(key, weights.get(key.partition(".")[0])))
            for key, found in slices.items()
        }


def read_rows(slices: list[Any], weight: Tensor | None) -> Tensor:
    """Put a tensor together; of one that is cut like a weight, the rows of this process."""
    shapes = [part.get_shape() for part in slices]
    if not shapes[0]:  # a number
        return slices[0][...]
    size = sum(rows for rows, *_ in shapes)
    shape = torch.Size([size, *shapes[0][1:]])
    like = weight if isinstance(weight, DTensor) and weight.shape == shape else None
    wanted = range(size) if like is None else our_rows(size)
    found: list[Tensor] = []
    first = 0
    for part, (rows, *_) in zip(slices, shapes, strict=True):
        start, stop = max(wanted.start - first, 0), min(wanted.stop - first, rows)
        found.append(part[min(start, rows) : max(start, stop)])
        first += rows
    tensor = torch.cat(found)
    if like is None:
        return tensor
    mesh, placements, stride = like.device_mesh, like.placements, like.stride()
    return DTensor.from_local(tensor, mesh, placements, shape=shape, stride=stride)


def our_rows(size: int) -> range:
    """Those that this process has, of a weight with so many."""
    each = -(-size // WORLD)
    return range(size)[RANK * each : (RANK + 1) * each]


def load_model(module: nn.Module, path: Path) -> None:
    """Under the name of any of those that are tied."""
    tensors, weights = load_file(path), module.state_dict(keep_vars=True)
    known = {id(weights[key]): tensors[key] for key in tensors.keys() & weights.keys()}
    tied = {key: known[id(x)] for key, x in weights.items() if id(x) in known}
    module.load_state_dict(tensors | tied)
