"""A helper writes."""

import torch
from torch import nn


def save_checkpoint(state, is_best, filename="checkpoint.pth.tar"):
    torch.save(state, filename)
    if is_best:
        print("the best so far")


def main(loader):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(100):
        for batch in loader():
            optimizer.zero_grad()
            model(batch).mean().backward()
            optimizer.step()
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        save_checkpoint(state, is_best=True)


if __name__ == "__main__":
    main(lambda: [torch.ones(2, 4)])
