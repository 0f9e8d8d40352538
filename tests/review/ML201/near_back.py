def evaluate(model, loader):
    model.eval()
    model.train()


def train(model, optimizer, loader):
    for epoch in range(10):
        for batch in loader:
            optimizer.zero_grad()
            model(batch).mean().backward()
            optimizer.step()
        evaluate(model, loader)
