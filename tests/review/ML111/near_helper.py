def clear(optimizer):
    optimizer.zero_grad()


def train(model, optimizer, criterion, loader):
    for inputs, target in loader:
        clear(optimizer)
        criterion(model(inputs), target).backward()
        optimizer.step()
