"""A seed that is passed to a function which isn't known may seed the global generators."""

import argparse

import torch
from framework import setup
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
setup(seed=options.seed)
model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(100):
    optimizer.zero_grad()
    model(torch.ones(2, 4)).mean().backward()
    optimizer.step()
torch.save(model.state_dict(), "model.pt")
