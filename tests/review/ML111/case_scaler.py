def train(model, optimizer, criterion, loader, scaler):
    for inputs, target in loader:
        scaler.scale(criterion(model(inputs), target)).backward()
        scaler.step(optimizer)
        scaler.update()
