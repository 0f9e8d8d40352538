"""Each gradient is set to zero in place."""


def train(model, optimizer, criterion, loader):
    for inputs, target in loader:
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.data.zero_()
        criterion(model(inputs), target).backward()
        optimizer.step()
