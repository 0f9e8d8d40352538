"""accelerate: the loop is over the optimizers of one checkpoint."""

import os

import torch
from torch import nn


def save_optimizers(optimizers, folder):
    for optimizer in optimizers:
        torch.save({"optimizer": optimizer.state_dict()}, os.path.join(folder, "optimizer.bin"))


def main(batches):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(100):
        for batch in batches:
            optimizer.zero_grad()
            model(batch).mean().backward()
            optimizer.step()
    save_optimizers([optimizer], "last")


if __name__ == "__main__":
    main([torch.ones(2, 4)])
