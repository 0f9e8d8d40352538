"""Before torch 0.4: volatile inputs turn gradients off."""

from torch.autograd import Variable


def evaluate(model, loader):
    model.eval()
    total = 0.0
    for data, target in loader:
        data, target = Variable(data, volatile=True), Variable(target)
        total += (model(data) - target).abs().data[0]
    return total
