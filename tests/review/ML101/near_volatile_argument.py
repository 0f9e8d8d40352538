"""awd-lstm: before torch 0.4, a helper is told to make the inputs volatile."""

from torch.autograd import Variable


def get_batch(source, start, evaluation=False):
    return Variable(source[start : start + 35], volatile=evaluation)


def evaluate(model, source, criterion):
    model.eval()
    total = 0.0
    for start in range(0, len(source), 35):
        data = get_batch(source, start, evaluation=True)
        total += criterion(model(data), data).data[0]
    return total
