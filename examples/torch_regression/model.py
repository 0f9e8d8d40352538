"""Data and model, in a module of their own because PyTorch takes seconds to import."""

import torch
from sklearn.datasets import load_diabetes

torch.set_num_threads(1)  # the network is too small for more, and a study runs several at once


def load_data():
    """Return inputs and targets of the training, validation and test split."""
    inputs, targets = load_diabetes(return_X_y=True)
    inputs = torch.tensor(inputs).float() * 21  # to unit variance
    targets = torch.tensor(targets).float() / 100
    return [(inputs[rows], targets[rows]) for rows in split_rows()]


def split_rows():
    """Return the row numbers of each split, the same for every seed."""
    rows = torch.randperm(442, generator=torch.Generator().manual_seed(0))
    return rows.split([264, 89, 89])


def build_model(hidden):
    """Return a network with one hidden layer."""
    layers = [torch.nn.Linear(10, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 1)]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(0))
