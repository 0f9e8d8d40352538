def train(model, optimizer, criterion, loader):
    for inputs, target in loader:
        for parameter in model.parameters():
            parameter.grad = None
        criterion(model(inputs), target).backward()
        optimizer.step()
