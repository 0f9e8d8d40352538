"""stylegan2: `g_ema` is an average of the generator."""

import torch


def train(generator, g_ema, optimizer, loader):
    for batch in loader:
        optimizer.zero_grad()
        generator(batch).mean().backward()
        optimizer.step()
        g_ema.eval()
        with torch.no_grad():
            print(g_ema(batch))
