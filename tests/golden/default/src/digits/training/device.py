# The template's: updates improve this file and keep your edits.
"""Device, precision and random seeds. One process computes all parts of a batch."""

import os
import random
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from ..config import TrainingConfig
from ..errors import ConfigError
from .files import sha256

LEAD = True  # whether this process writes: with several, one of them does


def select_device(config: TrainingConfig) -> torch.device:
    """
    Raises:
        ConfigError: this machine doesn't have the device.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    available = [*(name for name, is_present in present.items() if is_present), "cpu"]
    name = available[0] if config.device == "auto" else config.device
    if name not in available:
        expected = ", ".join(["auto", *available])
        raise ConfigError(f"training.device: {name} isn't available here; expected {expected}")
    if name == "cuda":  # https://docs.pytorch.org/docs/stable/notes/randomness.html
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
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


# --- what several processes would share: there is one -------------------------------------------

SAVES = LEAD  # whether it takes part in saving

process_group = nullcontext
our_parts = range
compute_shared = map
load_file, load_model = safetensors.torch.load_file, safetensors.torch.load_model


def distribute(model: nn.Module, device: torch.device) -> None:
    """Called with a new model, before it is moved to the device."""


def restore(state: Any, checkpoints: Any) -> None:
    checkpoints.restore(state)


def sum_and_clip(weights: list[Tensor], loss: Tensor, max_norm: float) -> tuple[Tensor, Tensor]:
    """Sum the gradients, in place, and the losses. Returns the loss and the gradient norm."""
    return loss, nn.utils.clip_grad_norm_(weights, max_norm)


def agree(stop: object, seconds: float, waited: float) -> tuple[str, float, float]:
    """The signal that stops the run, and the clocks by which it is ended and saved."""
    return getattr(stop, "signal_name", ""), seconds, waited


def save_files(files: Mapping[str, Mapping[str, Tensor]], folder: Path) -> dict[str, str]:
    """Returns the checksums of all files in the folder."""
    for name, tensors in files.items():
        safetensors.torch.save_file(dict(tensors), folder / f"{name}.safetensors")
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}
