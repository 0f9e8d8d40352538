"""PointNet++: the score is a number of NumPy, returned by a function."""

import numpy as np
import torch
from torch import nn

model = nn.Linear(4, 1)


def test(scores):
    accuracy = np.mean(scores)
    return accuracy, len(scores)


def main():
    accuracy, count = test([0.5, 1.0])
    torch.save({"model_state_dict": model.state_dict(), "accuracy": accuracy}, "best.pth")


def resume():
    checkpoint = torch.load("best.pth")
    model.load_state_dict(checkpoint["model_state_dict"])


if __name__ == "__main__":
    resume()
    main()
