"""The target is cast and detached, the loss isn't."""


def train(model, optimizer, criterion, loader):
    total = 0.0
    for inputs, target in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), target.detach().float()).float()
        loss.backward()
        optimizer.step()
        total += loss
    return total
