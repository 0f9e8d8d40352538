"""REPA: accelerate prepares the optimizer, and zeroes nothing itself."""

from accelerate import Accelerator

accelerator = Accelerator()


def train(model, optimizer, criterion, loader):
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for inputs, target in loader:
        loss = criterion(model(inputs), target)
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
