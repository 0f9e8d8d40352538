# The template's: updates improve this file and keep your edits.
"""AdamW, a learning rate that is a function of the step, and the sum of the gradients."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

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


def tree_sum(backward: Callable[[int], Tensor], parts: range, weights: list[Tensor]) -> Tensor:
    """Add losses and gradients in the order of a tree, whose leaves are the parts of a batch.

    So the sum has the same bits, however many processes share the parts.

    Args:
        backward: leaves the gradients of a part in the weights, and returns its loss.
        parts: the numbers of the parts.
        weights: where the sum of the gradients is left.
    """
    if len(parts) == 1:
        return backward(parts[0])
    middle = 1 << (len(parts) - 1).bit_length() - 1  # (0 1) (2 3), then their sums
    loss = tree_sum(backward, parts[:middle], weights)
    gradients = [weight.grad for weight in weights]
    for weight in weights:
        weight.grad = None
    loss = loss + tree_sum(backward, parts[middle:], weights)
    for weight, gradient in zip(weights, gradients, strict=True):
        if gradient is not None:
            weight.grad = gradient if weight.grad is None else gradient.add_(weight.grad)
    return loss
