"""A helper runs the step and returns the loss with its graph."""


def step(model, optimizer, batch):
    optimizer.zero_grad()
    loss = model(batch).mean()
    loss.backward()
    optimizer.step()
    return loss


def train(model, optimizer, loader):
    total = 0.0
    for batch in loader:
        loss = step(model, optimizer, batch)
        total += loss
    return total
