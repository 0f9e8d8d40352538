"""The network turns gradients on in training only."""

import torch
from torch import nn


class Classifier(nn.Module):
    def forward(self, inputs):
        with torch.set_grad_enabled(self.training):
            return self.layers(inputs)


def evaluate(loader):
    model = Classifier()
    model.eval()
    return [model(batch) for batch in loader]
