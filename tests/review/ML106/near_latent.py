"""stylegan2's projector: what is optimized is an input and its noise."""

import argparse

import torch
from torch import nn, optim

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
options = parser.parse_args()
generator = nn.Linear(4, 1)
latent = torch.zeros(1, 4, requires_grad=True)
noises = [torch.zeros(1, 4, requires_grad=True)]
optimizer = optim.Adam([latent] + noises, lr=options.lr)
while True:
    optimizer.zero_grad()
    generator(latent + noises[0]).mean().backward()
    optimizer.step()
