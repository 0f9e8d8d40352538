"""Each seed is that of a generator of its own; the weights are drawn from the global one."""

import argparse

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
options = parser.parse_args()
inputs = np.random.default_rng(seed=0).normal(size=(8, 4)).astype("float32")
train, held_out = train_test_split(inputs, random_state=np.random.RandomState(0))
generator = torch.Generator()
generator.manual_seed(0)
order = torch.randperm(len(train), generator=torch.Generator().manual_seed(1))
model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
for epoch in range(100):
    for index in order:
        optimizer.zero_grad()
        model(torch.from_numpy(train[index])).mean().backward()
        optimizer.step()
torch.save(model.state_dict(), "model.pt")
