import torch
from torch import nn
from torch.nn import functional as F


def loss(logits, target):
    print(F.softmax(logits, dim=1))
    return F.cross_entropy(logits, target)
