# The template's: updates improve this file and keep your edits.
"""AdamW, and a learning rate that is a function of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..config import TrainingConfig


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (https://arxiv.org/abs/1711.05101), decaying matrices and sparing biases and norms."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [parameter for parameter in trained if parameter.ndim >= 2],
            "weight_decay": config.weight_decay,
        },
        {
            "params": [parameter for parameter in trained if parameter.ndim < 2],
            "weight_decay": 0.0,
        },
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The rate of one step: a linear warm-up, then half a cosine down to zero.

    A pure function of the step, so that a resumed run needs no scheduler's state. Source: SGDR
    without restarts (https://arxiv.org/abs/1608.03983).
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / (config.max_steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use this rate in the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as named tensors, such as `0.exp_avg` for the first parameter's."""
    state: Mapping[int, Mapping[str, Tensor]] = optimizer.state_dict()["state"]
    tensors = {
        f"{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
    }
    for name, value in tensors.items():  # LBFGS, say, also keeps lists
        assert isinstance(value, Tensor), f"{name} is no tensor: extend optimizer_tensors for it"
    return {name: value.contiguous() for name, value in tensors.items()}


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put named tensors back to where `optimizer_tensors` took them from."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]  # as the config says: rates, decay
    optimizer.load_state_dict({"state": state, "param_groups": groups})
