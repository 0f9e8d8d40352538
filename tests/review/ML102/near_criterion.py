"""A criterion is read, which isn't progress though `iter` is in its name: a new start."""

import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())
checkpoint = torch.load("last.pt")
model.load_state_dict(checkpoint["model"])
criterion = checkpoint["criterion"]
for _step in range(30_000):
    optimizer.zero_grad()
    model(torch.ones(2, 4)).mean().backward()
    optimizer.step()
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "criterion": criterion},
        "last.pt",
    )
