def train(model, optimizer, criterion, loader):
    for inputs, target in loader:
        loss = criterion(model(inputs), target)
        loss.backward()
        optimizer.step()
