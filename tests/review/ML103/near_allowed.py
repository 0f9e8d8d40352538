"""timm: the type is allowed."""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
args = parser.parse_args()
model = nn.Linear(4, 1)
torch.serialization.add_safe_globals([argparse.Namespace])
torch.save({"ema": model.state_dict(), "args": args}, "last.pt")
model.load_state_dict(torch.load("last.pt")["ema"])
