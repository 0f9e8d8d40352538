import torch
from torch import nn


def save(model, epoch):
    model.eval()
    torch.save({"model": model, "epoch": epoch}, "last.pt")
