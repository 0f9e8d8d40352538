def train(model, optimizer, loader):
    for epoch in range(10):
        model.train()
        for batch in loader:
            optimizer.zero_grad()
            model(batch).mean().backward()
            optimizer.step()
        model.eval()
