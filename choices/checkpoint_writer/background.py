# The template's: updates improve this file and keep your edits.
"""The chosen writer: the loop goes on while a thread writes a copy of that moment.

Writing doesn't hold Python's lock: safetensors and hashlib release it. The loop stands still for
the copy alone, and where a checkpoint falls due before the earlier one is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Thread

import torch
from torch import Tensor

from ..protocols import Tensors


class Writer:
    """One write at a time, of buffers that are made for the first checkpoint and used again."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, str], Tensor] = {}
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def write(
        self, tensors: Mapping[str, Tensors], commit: Callable[[Mapping[str, Tensors]], None]
    ) -> None:
        """See `CheckpointWriter`."""
        self.wait()  # the earlier write still reads the buffers
        copy = {
            file: {name: self._copy(file, name, each) for name, each in content.items()}
            for file, content in tensors.items()
        }
        if any(each.is_cuda for content in tensors.values() for each in content.values()):
            torch.cuda.synchronize()  # the copies are under way until here
        self._thread = Thread(target=self._run, args=(copy, commit), name="checkpoint-writer")
        self._thread.start()

    def check(self) -> None:
        """See `CheckpointWriter`."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def wait(self) -> None:
        """See `CheckpointWriter`."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def _copy(self, file: str, name: str, tensor: Tensor) -> Tensor:
        buffer = self._buffers.get((file, name))
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
            self._buffers[file, name] = buffer
        return buffer.copy_(tensor.detach(), non_blocking=tensor.is_cuda)

    def _run(
        self, tensors: Mapping[str, Tensors], commit: Callable[[Mapping[str, Tensors]], None]
    ) -> None:
        try:
            commit(tensors)
        except BaseException as error:  # a thread's error would reach nobody else
            self._error = error
