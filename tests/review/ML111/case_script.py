"""tensor_parallel_example: a script that steps and never zeroes."""

import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())
for step in range(10):
    output = model(torch.rand(20, 4))
    output.sum().backward()
    optimizer.step()
