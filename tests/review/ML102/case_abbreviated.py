"""DeepLabV3Plus: progress is counted in `cur_itrs`."""

import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())
checkpoint = torch.load("last.pt")
model.load_state_dict(checkpoint["model"])
cur_itrs = checkpoint["cur_itrs"]
while cur_itrs < 30_000:
    cur_itrs += 1
    optimizer.zero_grad()
    model(torch.ones(2, 4)).mean().backward()
    optimizer.step()
    torch.save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "cur_itrs": cur_itrs},
        "last.pt",
    )
