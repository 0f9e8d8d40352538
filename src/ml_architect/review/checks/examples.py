"""Beginnings of the examples: a small model, so that each example runs and shows one thing."""

MODEL = """\
import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.AdamW(model.parameters())
batches = [torch.ones(2, 4) for _ in range(3)]
"""
SEEDED = """\
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Linear(4, 1)
optimizer = torch.optim.AdamW(model.parameters())
batches = [torch.ones(2, 4) for _ in range(3)]
"""
EPOCHS = """
for epoch in range(100):
    for batch in batches:
        optimizer.zero_grad()
        model(batch).mean().backward()
        optimizer.step()
"""
OPTIONS = """\
import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3)
options = parser.parse_args()
torch.manual_seed(0)
model = nn.Linear(4, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr)
batches = [torch.ones(2, 4) for _ in range(3)]
"""
