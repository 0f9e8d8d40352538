"""The global generators are seeded for each worker by torch."""

import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset):
    def __init__(self):
        self.rng = 3

    def __getitem__(self, index):
        return np.random.normal() + random.random()


def loader():
    return DataLoader(Noisy(), num_workers=4)
