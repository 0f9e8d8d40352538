import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=300)
args = parser.parse_args()
model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())


def loader():
    return [torch.ones(2, 4) for _ in range(3)]


for epoch in range(args.epochs):
    for batch in loader():
        optimizer.zero_grad()
        model(batch).mean().backward()
        optimizer.step()
