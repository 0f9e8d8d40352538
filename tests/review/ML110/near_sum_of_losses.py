"""The sum itself is what is minimized."""


def train(model, optimizer, criterion, loader):
    for inputs, targets in loader:
        optimizer.zero_grad()
        total = 0.0
        for target in targets:
            loss = criterion(model(inputs), target)
            total = total + loss
        total.backward()
        optimizer.step()
