"""Code that isn't here sets gradients to zero, by a name of its own."""

from engine import clear_gradients


def train(model, optimizer, criterion, loader):
    for inputs, target in loader:
        clear_gradients(model)
        criterion(model(inputs), target).backward()
        optimizer.step()
