"""`.train()` is never called."""


def evaluate(model, loader):
    model.eval()
    return len(loader)


def train(model, optimizer, loader):
    for epoch in range(10):
        for batch in loader:
            optimizer.zero_grad()
            model(batch).mean().backward()
            optimizer.step()
        evaluate(model, loader)
