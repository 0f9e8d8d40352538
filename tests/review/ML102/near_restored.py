import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)


def loader():
    return [torch.ones(2, 4) for _ in range(3)]


checkpoint = torch.load("last.pt")
model.load_state_dict(checkpoint["model"])
start_epoch = checkpoint["epoch"]
optimizer.load_state_dict(checkpoint["optimizer"])
for epoch in range(start_epoch, 100):
    for batch in loader():
        optimizer.zero_grad()
        model(batch).mean().backward()
        optimizer.step()
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch},
        f"checkpoint_{epoch}.pt",
    )
