"""awd-lstm-lm: ten steps show that a loss works."""

import argparse

import torch
from torch import nn


class Loss(nn.Module):
    def forward(self, x):
        return x.mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=4)
    options = parser.parse_args()
    steps = 500
    model = nn.Linear(options.width, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1)
    for _ in range(steps):
        optimizer.zero_grad()
        Loss()(model(torch.ones(2, options.width))).backward()
        optimizer.step()
