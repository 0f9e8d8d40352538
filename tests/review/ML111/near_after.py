def train(model, optimizer, criterion, loader):
    for inputs, target in loader:
        criterion(model(inputs), target).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
