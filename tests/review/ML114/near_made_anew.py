import random

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset):
    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __getitem__(self, index):
        return self.rng.normal()

    def reseed(self, worker):
        self.rng = np.random.default_rng(worker)


def loader():
    return DataLoader(Noisy(), num_workers=4)
