"""Before torch 0.4, with inputs that leave gradients on."""

from torch.autograd import Variable


def evaluate(model, loader):
    model.eval()
    total = 0.0
    for data, target in loader:
        data = Variable(data, volatile=False)
        total += (model(data) - target).abs().data[0]
    return total
