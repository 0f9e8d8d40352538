"""Log-softmax twice changes nothing."""

from torch.nn import functional


def loss(model, inputs, target):
    print(model(inputs).softmax(-1))
    return functional.cross_entropy(model(inputs).log_softmax(-1), target)
