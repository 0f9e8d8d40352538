"""Once, before the loop."""


def train(model, optimizer, loader):
    model.train()
    for epoch in range(10):
        for batch in loader:
            optimizer.zero_grad()
            model(batch).mean().backward()
            optimizer.step()
        model.eval()
