"""The phase decides, and set_grad_enabled follows it."""

import torch


def run(model, loaders, optimizer, criterion):
    for phase in ("train", "val"):
        if phase == "train":
            model.train()
        else:
            model.eval()
        for inputs, target in loaders[phase]:
            with torch.set_grad_enabled(phase == "train"):
                loss = criterion(model(inputs), target)
            if phase == "train":
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
