# The template's: updates improve this file and keep your edits.
"""Writes checkpoints in a thread, while training continues.

Training waits only for a copy of the tensors, and for an earlier checkpoint that isn't finished.
safetensors and hashlib release Python's global lock.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Thread

import torch
from torch import Tensor

from ..errors import CheckpointError, TrainingError
from .checkpoint import Files, Write


@contextmanager
def checkpoint_writer() -> Generator[Write]:
    """Yields a function of the tensors, and of what writes them; waits for the last at the end.

    A failure is raised at the next checkpoint or at the end.
    """
    writer = _BackgroundWriter()
    try:
        yield writer.write
    except TrainingError as error:
        try:
            writer.wait()
        except CheckpointError as failure:
            error.add_note(str(failure))
        raise
    except BaseException:
        writer.wait()
        raise
    writer.wait()


class _BackgroundWriter:
    def __init__(self) -> None:
        self._buffers: dict[tuple[str, str], Tensor] = {}  # allocated once, then reused
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def write(self, files: Files, commit: Callable[[Files], None]) -> None:
        self.wait()  # an unfinished write still reads the buffers
        copies = {
            file: {name: self._copy(file, name, tensor) for name, tensor in tensors.items()}
            for file, tensors in files.items()
        }
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # copies from a GPU are asynchronous
        self._thread = Thread(target=self._run, args=(copies, commit), name="checkpoint-writer")
        self._thread.start()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _copy(self, file: str, name: str, tensor: Tensor) -> Tensor:
        buffer = self._buffers.get((file, name))
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
            self._buffers[file, name] = buffer
        return buffer.copy_(tensor.detach(), non_blocking=tensor.is_cuda)

    def _run(self, files: Files, commit: Callable[[Files], None]) -> None:
        try:
            commit(files)
        except BaseException as error:  # raised again by `wait`
            self._error = error
