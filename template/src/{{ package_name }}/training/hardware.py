# The template's: updates improve this file and keep your edits.
"""Device, precision and random seeds of one of several processes."""

import os
import random
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ..config import TrainingConfig
from ..errors import ConfigError


def select_device(config: TrainingConfig) -> torch.device:
    """
    Raises:
        ConfigError: this machine doesn't have the device.
    """
    # gloo can't send tensors of Apple's GPUs.
    mps = torch.backends.mps.is_available() and not dist.is_initialized()
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
