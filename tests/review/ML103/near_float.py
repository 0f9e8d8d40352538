"""A number of Python, made from one of NumPy."""

import numpy as np
import torch
from torch import nn

model = nn.Linear(4, 1)


def save(scores):
    state = {"model": model.state_dict(), "accuracy": float(np.mean(scores))}
    torch.save({**state, "best": np.max(scores).item()}, "best.pth")


def resume():
    model.load_state_dict(torch.load("best.pth")["model"])
