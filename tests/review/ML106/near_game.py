"""An agent that shows how a method learns."""

import argparse

import gymnasium
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
options = parser.parse_args()
environment = gymnasium.make("CartPole-v1")
model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
while True:
    optimizer.zero_grad()
    model(torch.as_tensor(environment.reset()[0])).mean().backward()
    optimizer.step()
