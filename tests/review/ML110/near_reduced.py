"""The loss is detached inside a call."""

from engine import reduce_tensor


def train(model, optimizer, criterion, loader):
    total = 0.0
    for inputs, target in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), target)
        loss.backward()
        optimizer.step()
        loss = reduce_tensor(loss.data)
        total += loss
    return total
