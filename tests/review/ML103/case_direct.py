"""The number is computed in the dictionary itself."""

import numpy as np
import torch
from torch import nn

model = nn.Linear(4, 1)


def save(scores):
    torch.save({"model": model.state_dict(), "accuracy": np.mean(scores)}, "best.pth")


def resume():
    model.load_state_dict(torch.load("best.pth")["model"])
