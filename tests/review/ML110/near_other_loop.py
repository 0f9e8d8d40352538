"""accelerate's example: the evaluation loop has a loss of the same name, without a graph."""

import torch


def main(model, optimizer, loader, held_out):
    for epoch in range(10):
        for batch in loader:
            loss = model(batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        losses = []
        for batch in held_out:
            with torch.no_grad():
                outputs = model(batch)
            loss = outputs.loss
            losses.append(loss)
        print(torch.stack(losses).mean())
