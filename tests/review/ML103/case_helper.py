"""SupContrast: the arguments come from a function, and a helper saves."""

import argparse

import torch
from torch import nn


def parse_option():
    parser = argparse.ArgumentParser()
    opt = parser.parse_args()
    opt.size = 32
    return opt


def save_model(model, opt, path):
    state = {"opt": opt, "model": model.state_dict()}
    torch.save(state, path)


def main():
    opt = parse_option()
    model = nn.Linear(4, 1)
    save_model(model, opt, "last.pth")
    model.load_state_dict(torch.load("last.pth", map_location="cpu")["model"])


if __name__ == "__main__":
    main()
