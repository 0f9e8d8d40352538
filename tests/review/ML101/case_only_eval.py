"""examples/language_translation: `.eval()` is called, gradients stay on."""

import torch


def validate(model, loader, criterion):
    model.eval()  # turn off gradients
    losses = 0.0
    for source, target in loader:
        losses += criterion(model(source), target).item()
    return losses / len(loader)
