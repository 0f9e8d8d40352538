import torch
from torch import nn
from torch.nn import functional as F


def loss(logits, target):
    return F.nll_loss(F.log_softmax(logits, dim=1), target)
