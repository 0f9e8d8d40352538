"""DiT: the arguments are in the checkpoint."""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
args = parser.parse_args()
model = nn.Linear(4, 1)
torch.save({"ema": model.state_dict(), "args": args}, "last.pt")
model.load_state_dict(torch.load("last.pt")["ema"])
