"""Style transfer: the picture is what is optimized."""

import torch
from torch import nn

picture = torch.zeros(3, 8, 8, requires_grad=True)
optimizer = torch.optim.Adam([picture])
for step in range(2000):
    optimizer.zero_grad()
    picture.square().mean().backward()
    optimizer.step()
