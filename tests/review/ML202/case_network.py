import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def forward(self, x):
        return F.softmax(x, dim=1)


def run(x, target):
    net = Net()
    criterion = nn.CrossEntropyLoss()
    return criterion(net(x), target)
