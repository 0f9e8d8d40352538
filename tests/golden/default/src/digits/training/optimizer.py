# The template's: updates improve this file and keep your edits.
"""AdamW, and a learning rate that is a function of the step."""

import math

import torch
from torch import nn

from ..config import TrainingConfig


def build_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW (https://arxiv.org/abs/1711.05101), without weight decay on biases and norms.

    The default of training.learning_rate suits it; other optimizers need another one.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warmup, then a cosine decay to zero (https://arxiv.org/abs/1608.03983).

    A function of the step alone, so that there is no scheduler whose state has to be saved.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / (config.max_steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
