"""PyTorch-GAN: 200 epochs, pictures are saved, the network isn't."""

from torchvision.utils import save_image

import torch
from torch import nn

model = nn.Linear(4, 1)
optimizer = torch.optim.Adam(model.parameters())


def loader():
    return [torch.ones(2, 4) for _ in range(3)]


for epoch in range(200):
    for batch in loader():
        optimizer.zero_grad()
        model(batch).mean().backward()
        optimizer.step()
    save_image(model(torch.ones(2, 4)), f"{epoch}.png")
