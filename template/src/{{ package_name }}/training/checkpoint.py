# The template's: updates improve this file and keep your edits.
"""Checkpoints that no crash can lose.

A checkpoint is a folder `step_00000100`. It is written under a temporary name, flushed to the disk
and renamed, so a folder of that name is complete. The checksums in its `manifest.json` detect later
corruption. Nothing is pickled.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import CheckpointError
from .device import load_file, load_model, save_files
from .files import delete, flush, read_json, sha256
from .retention import CheckpointConfig

Files = Mapping[str, Mapping[str, Tensor]]  # tensors by file and name
REQUIRED = {"model.safetensors", "optimizer.safetensors", "state.json"}
FILE_NAME = r"state\.json|[\w.-]+\.safetensors"
STATE_KEYS = {"step", "best_step", "best_value", "metric", "optimizer"}  # in state.json
MAX_HEADER = 10**7  # bytes of the names and shapes in a file of tensors
Write = Callable[[Files, Callable[[Files], None]], None]


@dataclass
class TrainState:
    """All that has to be saved to resume exactly; everything else follows from the step."""

    modules: dict[str, nn.Module]  # each is saved in its own file; "model" is what is evaluated
    optimizer: torch.optim.Optimizer
    step: int = 0
    best_step: int | None = None
    best_value: float | None = None

    def update_best(self, value: float, mode: str) -> bool:
        """Record the metric at this step. Returns whether it is the best so far."""
        sign = 1 if mode == "max" else -1
        if self.best_value is not None and sign * value <= sign * self.best_value:
            return False
        self.best_step, self.best_value = self.step, value
        return True

    def progress(self) -> dict[str, Any]:
        return {"step": self.step, "best_step": self.best_step, "best_value": self.best_value}


class CheckpointManager:
    """The checkpoints of one run. One process writes, any number may read."""

    def __init__(self, folder: Path, config: CheckpointConfig) -> None:
        self.folder, self.config = folder, config
        self.corrupt: set[int] = set()  # steps that reading had to skip

    def path(self, step: int) -> Path:
        return self.folder / f"step_{step:08d}"

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, corrupt or not, oldest first."""
        folders = [path.name for path in self.folder.glob("step_*") if path.is_dir()]
        return sorted(int(name[5:]) for name in folders if re.fullmatch(r"step_\d{8,}", name))

    def remove_temporary_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(".tmp-*"):
            delete(leftover)

    def save(self, state: TrainState, write: Write) -> None:
        """Save the state as it is now, then remove the checkpoints that aren't kept.

        Args:
            state: of the training.
            write: of training/writer.py, which decides when and in which thread.

        Raises:
            CheckpointError: the checkpoint couldn't be written. Earlier ones are intact.
        """
        files = {name: module_tensors(module) for name, module in state.modules.items()}
        files["optimizer"] = optimizer_tensors(state.optimizer)
        optimizer = type(state.optimizer).__name__
        saved = state.progress() | {"metric": self.config.metric, "optimizer": optimizer}
        write(files, lambda tensors: self._commit(tensors, saved))

    def _commit(self, files: Files, saved: Mapping[str, Any]) -> None:
        step = saved["step"]
        temporary = self.folder / f".tmp-{step:08d}"
        try:
            temporary.mkdir()
            (temporary / "state.json").write_text(json.dumps(saved))
            checksums = save_files(files, temporary)
            for path in temporary.iterdir():  # safetensors lets only the owner read its files
                path.chmod((temporary / "state.json").stat().st_mode)
            (temporary / "manifest.json").write_text(json.dumps(checksums, indent=2))
            for path in (*temporary.iterdir(), temporary):
                flush(path)
            self._remove(step)  # if there is one, it is corrupt: a run resumes from an intact one
            temporary.rename(self.path(step))
            flush(self.folder)

            self.corrupt.discard(step)
            intact = [other for other in self.steps() if other not in self.corrupt]
            for old in set(self.steps()) - self.config.to_keep(intact, saved["best_step"]):
                self._remove(old)
        except (OSError, RuntimeError, SafetensorError) as error:  # a full disk raises any of these
            shutil.rmtree(temporary, ignore_errors=True)
            self.folder.stat()  # raises FileNotFoundError if the run was deleted
            raise CheckpointError(
                f"couldn't write {self.path(step)}: {error}. Earlier checkpoints are intact; "
                "fix the cause (is the disk full?), then resume the run"
            ) from error

    def _remove(self, step: int) -> None:
        """Rename first, so that a crash never leaves half a checkpoint under its name."""
        trash = self.folder / f".tmp-removed-{step:08d}"
        if self.path(step).exists() or self.path(step).is_symlink():
            self.path(step).rename(trash)
            delete(trash)

    def latest(self) -> int | None:
        """The newest intact checkpoint; None if there are no checkpoints at all.

        Raises:
            CheckpointError: there are checkpoints, and all are corrupt.
        """
        steps = self.steps()
        for step in reversed(steps):
            if self._is_intact(step):
                return step
        if steps:
            raise CheckpointError(
                f"no intact checkpoint in {self.folder}: none of {len(steps)} can be read. "
                "Restore them from a copy, or train another run with --run-name NAME"
            )
        return None

    def best(self) -> int | None:
        """The best checkpoint, or the latest if the best one is corrupt."""
        latest = self.latest()
        if latest is None:
            return None
        best = self._read_state(latest)["best_step"]
        return best if best is not None and self._is_intact(best) else latest

    def restore(self, state: TrainState) -> None:
        """Continue from the latest checkpoint; without one, the state is left unchanged.

        Removes what a crash left, so it is only for the process that holds the run's lock.
        """
        self.remove_temporary_files()
        step = self.latest()
        if step is not None:
            self.load(state, step)

    def load(self, state: TrainState, step: int) -> None:
        saved, optimizer = self._read_state(step), type(state.optimizer).__name__
        if saved["optimizer"] != optimizer:
            message = f"{self.path(step)} was saved with {saved['optimizer']}, now {optimizer}"
            raise CheckpointError(f"{message}: restore training/optimizer.py, or train a new run")
        for name, module in state.modules.items():
            self.load_weights(step, module, name)
        path = self.path(step) / "optimizer.safetensors"
        load_optimizer(state, load_file(path), path)
        state.step = step
        # If another metric selects the best checkpoint now, the best value so far is unknown.
        if saved["metric"] == self.config.metric:
            state.best_step, state.best_value = saved["best_step"], saved["best_value"]

    def load_weights(self, step: int, module: nn.Module, name: str = "model") -> None:
        """
        Raises:
            CheckpointError: the weights are those of another network, or NaN.
        """
        path, expected = self.path(step) / f"{name}.safetensors", module.state_dict()
        try:
            for key, tensor in load_file(path).items():  # mapped into memory, not read
                if key in expected and tensor.dtype != expected[key].dtype:
                    raise RuntimeError(f"{key} is {tensor.dtype}, not {expected[key].dtype}")
            load_model(module, path)
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.path(step)} has the weights of another network: {str(error)[:500]}. "
                "Restore models/network.py, or train a new run"
            ) from error
        if any(tensor.isnan().any() for tensor in module.state_dict().values()):
            raise CheckpointError(f"{path} has weights that are NaN; train a new run")

    def _is_intact(self, step: int) -> bool:
        """Whether the files match the manifest, and contain what they should."""
        folder = self.path(step)
        try:
            checksums = read_json(folder / "manifest.json")
            saved = self._read_state(step)
            intact = (
                {re.sub(r"-\d{5}-of-\d{5}", "", name) for name in checksums} >= REQUIRED
                and all(re.fullmatch(FILE_NAME, name) for name in checksums)
                and all((folder / name).is_file() for name in checksums)  # and not a device
                and saved.keys() == STATE_KEYS
                and saved["step"] == step
                and isinstance(saved["best_step"], int | None)
                and isinstance(saved["best_value"], int | float | None)
            )
            for name in checksums.keys() - {"state.json"} if intact else ():
                with (folder / name).open("rb") as file:
                    if int.from_bytes(file.read(8), "little") > MAX_HEADER:
                        raise ValueError(f"{name}: the header is too large")
                with safe_open(folder / name, framework="pt"):
                    pass  # the header says how large the file is, before all of it is read
            intact = intact and all(sha256(folder / name) == checksums[name] for name in checksums)
        except (OSError, ValueError, TypeError, AttributeError, SafetensorError):
            intact = False
        if not intact and folder.exists() and step not in self.corrupt:
            self.corrupt.add(step)
            print(f"{folder} is corrupt; using another checkpoint", file=sys.stderr)
        return intact

    def _read_state(self, step: int) -> dict[str, Any]:
        return read_json(self.path(step) / "state.json")


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Tied weights only once, under their first name, as safetensors requires."""
    first_names: dict[tuple[int | str, torch.Size], str] = {}
    tensors = module.state_dict()
    for name, tensor in tensors.items():
        address = tensor.data_ptr() or name  # empty tensors are all at 0
        first_names.setdefault((address, tensor.shape), name)
    return {name: tensors[name].contiguous() for name in first_names.values()}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as a flat dict, such as `0.exp_avg` of the first parameter."""
    return {
        f"{index}.{name}": torch.as_tensor(value).contiguous()
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if value is not None  # the momentum of SGD without momentum
    }


def load_optimizer(state: TrainState, tensors: Mapping[str, Tensor], path: Path) -> None:
    optimizer = state.optimizer
    groups = optimizer.state_dict()["param_groups"]  # learning rate etc. are the config's
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    expected = {str(index): (weight.shape, weight.dtype) for index, weight in enumerate(weights)}
    states: dict[int, dict[str, Tensor]] = {}
    try:
        for key, tensor in tensors.items():
            index, _, name = key.partition(".")
            if expected[index] != (tensor.shape, tensor.dtype) and name.startswith("exp_avg"):
                raise ValueError(f"{key} is {tensor.dtype}{[*tensor.shape]}")
            states.setdefault(int(index), {})[name] = tensor
        if len({frozenset(names) for names in states.values()}) > 1:
            raise ValueError("tensors are missing")
    except (KeyError, ValueError) as error:
        message = f"{path} is of another optimizer or network: {error}. Restore training/optimizer"
        raise CheckpointError(f"{message}.py and models/network.py, or train a new run") from None
    optimizer.load_state_dict({"state": states, "param_groups": groups})
