"""A part that is frozen inside of a network: `.eval()` in forward."""

from torch import nn


class Detector(nn.Module):
    def forward(self, images):
        self.backbone.eval()
        return [self.head(self.backbone(image)) for image in images]
