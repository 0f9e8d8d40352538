def train(model, optimizer, criterion, loader):
    losses = []
    for inputs, target in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), target)
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return losses
