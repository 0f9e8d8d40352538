"""pytorch-fid: the network freezes itself when it is made, in a caller's caller."""

import torch
from torch import nn


class InceptionV3(nn.Module):
    def __init__(self, blocks, requires_grad=False):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        for param in self.parameters():
            param.requires_grad = requires_grad


def get_activations(images, model):
    model.eval()
    return [model(batch)[0] for batch in images]


def calculate_statistics(images, model, batch_size=64):
    return torch.stack(get_activations(images, model)).mean()


def calculate_fid(paths):
    model = InceptionV3([3])
    model.cuda()
    return [calculate_statistics(images, model) for images in paths]
