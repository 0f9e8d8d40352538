# The template's: updates improve this file and keep your edits.
"""Where the arithmetic happens, and in which precision."""

from __future__ import annotations

import os
import platform
import random
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..config import TrainingConfig
from ..errors import ConfigError, Problem
from ..protocols import Batch


@dataclass(frozen=True, slots=True)
class Device:
    """A processor, and the precision of the matrix products on it."""

    name: torch.device
    autocast_dtype: torch.dtype | None  # None: as the weights are

    @classmethod
    def choose(cls, config: TrainingConfig) -> Device:
        """The device that the config names; `auto` is the first GPU, or else the CPU.

        Raises:
            ConfigError: this machine doesn't have it.
        """
        present = ["cpu"]
        if torch.backends.mps.is_available():
            present.insert(0, "mps")
        if torch.cuda.is_available():
            present.insert(0, "cuda")
        if config.device not in ("auto", *present):
            expected = f"a device that this machine has: auto, {', '.join(present)}"
            raise ConfigError([Problem("training.device", config.device, expected)])
        name = present[0] if config.device == "auto" else config.device
        if name == "cuda":  # https://docs.pytorch.org/docs/stable/notes/randomness.html
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True, warn_only=True)
        dtype = torch.bfloat16 if config.precision == "bfloat16" else None
        return cls(torch.device(name), dtype)

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the forward pass runs."""
        if self.autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.name.type, dtype=self.autocast_dtype)

    def place(self, batch: Batch) -> Batch:
        """The batch in this device's memory; on a GPU the copy runs beside the computation."""
        if self.name.type == "cpu":
            return batch
        return Batch(*(self._copy(tensor) for tensor in batch))

    def _copy(self, tensor: Tensor) -> Tensor:
        pinned = tensor.pin_memory() if self.name.type == "cuda" else tensor
        return pinned.to(self.name, non_blocking=True)

    def seed(self, seed: int) -> None:
        """Start every random generator afresh: what follows depends on these 64 bits alone.

        Called in each step with the step's own seed, it takes the place of saving the generators'
        states. It sets the generators directly, since `torch.manual_seed` takes a hundred times as
        long (it formats a stack trace, in case CUDA isn't initialised yet).
        """
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - for libraries that draw from it
        torch.default_generator.manual_seed(seed)
        if self.name.type == "cuda":
            torch.cuda.manual_seed_all(seed)
        elif self.name.type == "mps":
            torch.mps.manual_seed(seed)

    def describe(self) -> dict[str, str | int]:
        """What decides on the last bits of a result: the processor, and the threads on it."""
        kind = self.name.type
        if kind == "cuda":
            return {"type": kind, "model": torch.cuda.get_device_name(self.name)}
        if kind == "mps":
            return {"type": kind, "model": platform.machine()}
        model = torch.backends.cpu.get_cpu_capability()  # such as AVX512
        return {"type": kind, "model": model, "threads": torch.get_num_threads()}

    def memory(self) -> int:
        """The most memory that the process has held at once, in bytes."""
        if self.name.type == "cuda":
            return torch.cuda.max_memory_allocated(self.name)
        try:
            import resource
        except ImportError:  # Windows
            return 0
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
