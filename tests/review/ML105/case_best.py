"""PointNet++: the best overwrites the best."""

import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())
best = 0.0


def loader():
    return [torch.ones(2, 4) for _ in range(3)]


for epoch in range(100):
    for batch in loader():
        optimizer.zero_grad()
        model(batch).mean().backward()
        optimizer.step()
    score = float(model(torch.ones(1, 4)))
    if score > best:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        torch.save(state, "best_model.pth")
