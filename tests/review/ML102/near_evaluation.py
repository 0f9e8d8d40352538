"""Only weights are read, after training: nothing is resumed."""

import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)


def loader():
    return [torch.ones(2, 4) for _ in range(3)]


for epoch in range(100):
    for batch in loader():
        optimizer.zero_grad()
        model(batch).mean().backward()
        optimizer.step()
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch},
        f"checkpoint_{epoch}.pt",
    )
model.load_state_dict(torch.load("checkpoint_99.pt")["model"])
print(model(torch.ones(2, 4)))
