# The template's: updates improve this file and keep your edits.
"""What a checkpoint holds, and how it gets to the disk so that no crash can lose one.

A checkpoint is a folder `step_00000100` with `model.safetensors`, `optimizer.safetensors`,
`state.json` and `manifest.json`. It is written beside its final name, flushed and renamed; hence a
folder of that name is complete, unless the disk has damaged it, which the manifest's checksums
show. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import CheckpointError
from ..protocols import CheckpointStrategy, CheckpointWriter, Tensors
from .optimizer import load_optimizer_tensors, optimizer_tensors

logger = logging.getLogger(__name__)
FILES = {"model.safetensors", "optimizer.safetensors", "state.json"}


@dataclass(slots=True)
class State:
    """All that a run has to remember between two steps; everything else follows from the step."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    best_step: int | None = None
    best_value: float | None = None

    def improve(self, value: float, mode: str) -> bool:
        """Record the value of the metric at this step; return whether it is the best so far."""
        if self.best_value is not None:
            better = value < self.best_value if mode == "min" else value > self.best_value
            if not better:
                return False
        self.best_step, self.best_value = self.step, value
        return True

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of each file. They share memory with the model: copy what has to last."""
        return {
            "model": _unique(self.model.state_dict()),
            "optimizer": optimizer_tensors(self.optimizer),
        }

    def numbers(self) -> dict[str, int | float | None]:
        """The rest."""
        return {"step": self.step, "best_step": self.best_step, "best_value": self.best_value}


def _unique(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tied weights once, under their first name, as safetensors requires."""
    first: dict[tuple[int | str, torch.Size], str] = {}
    for name, tensor in tensors.items():
        place = tensor.data_ptr() if tensor.numel() else name  # empty ones all lie at 0
        first.setdefault((place, tensor.shape), name)
    return {name: tensors[name].contiguous() for name in first.values()}


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """The checkpoints of one run. One process writes; any number may read."""

    folder: Path
    strategy: CheckpointStrategy
    damaged: set[int] = field(default_factory=set[int])  # steps that reading had to pass over

    def sweep(self) -> None:
        """Remove what a crash left unfinished. Only for the process that holds the run's lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(".tmp-*"):
            _delete(leftover)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, damaged or not, oldest first."""
        found = (re.fullmatch(r"step_(\d{8,})", path.name) for path in self.folder.glob("step_*"))
        steps = (int(match[1]) for match in found if match)
        return sorted(step for step in steps if self.path(step).is_dir())

    def path(self, step: int) -> Path:
        """The folder of one checkpoint."""
        return self.folder / f"step_{step:08d}"

    def save(self, state: State, writer: CheckpointWriter) -> None:
        """Write a checkpoint of this moment, then remove those that need not stay.

        Raises:
            CheckpointError: it couldn't be written. The earlier ones are whole.
        """
        numbers, best = state.numbers(), state.best_step
        writer.write(state.tensors(), lambda tensors: self._commit(tensors, numbers, best))

    def _commit(
        self,
        tensors: Mapping[str, Tensors],
        numbers: Mapping[str, int | float | None],
        best: int | None,
    ) -> None:
        step = numbers["step"]
        assert isinstance(step, int)
        self._write(step, tensors, numbers)
        logger.debug("saved %s", self.path(step))
        self.damaged.discard(step)
        steps = self.steps()
        intact = [each for each in steps if each not in self.damaged]  # the others don't count
        for old in set(steps) - self.strategy.retained(intact, best):
            try:
                self._remove(old)
            except OSError as error:  # somebody has a file of it open; the next save tries again
                logger.warning("couldn't remove %s: %s", self.path(old), error)

    def _write(
        self,
        step: int,
        tensors: Mapping[str, Tensors],
        numbers: Mapping[str, int | float | None],
    ) -> None:
        final, unfinished = self.path(step), self.folder / f".tmp-{step:08d}"
        try:
            unfinished.mkdir()
            for name, content in tensors.items():
                save_file(dict(content), unfinished / f"{name}.safetensors")
            _write_json(unfinished / "state.json", numbers)
            files = {
                path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
                for path in sorted(unfinished.iterdir())
            }
            _write_json(unfinished / "manifest.json", files)
            for path in (*unfinished.iterdir(), unfinished):
                _flush(path)
            if final.exists() or final.is_symlink():
                self._remove(step)  # damaged: resuming begins at the newest intact one
            unfinished.rename(final)
            _flush(self.folder)
        except (OSError, RuntimeError, SafetensorError) as error:
            # A full disk is an OSError, or one of the others, depending on who wrote.
            shutil.rmtree(unfinished, ignore_errors=True)
            raise CheckpointError(
                f"couldn't write {final}: {error}. The earlier checkpoints are whole; "
                "mend that (is the disk full?), then resume the run"
            ) from error

    def _remove(self, step: int) -> None:
        """Rename first: a crash in between must not leave half a checkpoint under its name."""
        doomed = self.folder / f".tmp-removed-{step:08d}"
        self.path(step).rename(doomed)
        _delete(doomed)

    def _intact(self, step: int) -> bool:
        """Whether the files are those of the manifest, and can be read; the manifest may lie."""
        folder = self.path(step)
        try:
            files = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            whole = set(files) >= FILES and all(
                (folder / name).stat().st_size == each["bytes"]
                and _sha256(folder / name) == each["sha256"]
                for name, each in files.items()
            )
            for name in FILES - {"state.json"}:
                with safe_open(folder / name, framework="pt"):  # reads the header, and no pickle
                    pass
            numbers = self._numbers(step)
            return whole and numbers["step"] == step and {"best_step", "best_value"} <= set(numbers)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError):
            return False

    def newest(self) -> int | None:
        """The newest intact checkpoint's step; None where there is no checkpoint at all.

        Raises:
            CheckpointError: there are checkpoints, and each is damaged.
        """
        steps = self.steps()
        for step in reversed(steps):
            if self._intact(step):
                return step
            self.damaged.add(step)
        if steps:
            raise CheckpointError(
                f"no intact checkpoint in {self.folder}: all {len(steps)} are damaged. "
                "To train from the beginning, delete that folder and resume the run"
            )
        return None

    def best(self) -> int | None:
        """The step of the best checkpoint; the newest where that one is damaged or unknown."""
        newest = self.newest()
        if newest is None:
            return None
        best = self._numbers(newest)["best_step"]
        if best is None or best == newest:
            return newest
        if self._intact(best):
            return best
        if self.path(best).exists():
            self.damaged.add(best)
        return newest

    def restore(self, state: State) -> None:
        """Continue from the newest intact checkpoint; without one, leave the state as it is."""
        step = self.newest()
        if step is None:
            return
        self.load_model(step, state.model)
        moments = load_file(self.path(step) / "optimizer.safetensors")
        load_optimizer_tensors(state.optimizer, moments)
        numbers = self._numbers(step)
        state.step, state.best_step = step, numbers["best_step"]
        state.best_value = numbers["best_value"]

    def load_model(self, step: int, model: nn.Module) -> None:
        """Put the weights of a checkpoint into a model.

        Raises:
            CheckpointError: the weights are of another network.
        """
        weights = load_file(self.path(step) / "model.safetensors")
        tied = set(model.state_dict()) - set(_unique(model.state_dict()))
        try:
            missing, unexpected = model.load_state_dict(weights, strict=False)
            if unexpected or set(missing) - tied:
                raise RuntimeError(f"missing {missing}, unexpected {unexpected}")
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.path(step)} holds the weights of another network: {error}. "
                "Restore models/network.py as it was, or train anew"
            ) from error

    def _numbers(self, step: int) -> dict[str, Any]:
        return json.loads((self.path(step) / "state.json").read_text(encoding="utf-8"))


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()  # put there by somebody else


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Have the operating system put a file, or a folder's list of names, on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows can't open folders, and orders the rename by itself
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
