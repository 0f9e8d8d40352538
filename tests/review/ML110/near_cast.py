def train(model, optimizer, criterion, loader):
    total = 0.0
    for inputs, target in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), target)
        loss.backward()
        optimizer.step()
        loss = float(loss) / len(inputs)
        total += loss
    return total
