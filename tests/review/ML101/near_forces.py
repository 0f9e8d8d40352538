"""Forces are gradients of the energy: chgnet needs them in prediction too."""

import torch
from torch import nn


class Potential(nn.Module):
    def forward(self, positions):
        energy = self.layers(positions).sum()
        return torch.autograd.grad(energy, positions)[0]

    def predict(self, graphs):
        self.eval()
        return [self.forward(graph) for graph in graphs]
