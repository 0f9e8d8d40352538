import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())


def loader():
    return [torch.ones(2, 4) for _ in range(3)]


start_epoch = 0
if start_epoch:
    model.load_state_dict(torch.load("model.pt"))
for epoch in range(start_epoch, 100):
    for batch in loader():
        optimizer.zero_grad()
        model(batch).mean().backward()
        optimizer.step()
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch},
        f"checkpoint_{epoch}.pt",
    )
