import torch
from torch import nn


class Net(nn.Module):
    pass


def main():
    net = Net().to("cpu")
    torch.save(net, "net.pt")
