"""A loop without an end that is known."""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
options = parser.parse_args()
model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())

while True:
    optimizer.zero_grad()
    model(torch.ones(2, 4)).mean().backward()
    optimizer.step()
