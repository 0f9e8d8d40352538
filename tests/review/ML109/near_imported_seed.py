"""The global generator is seeded by a function that is imported by name."""

from torch import manual_seed
from torch.utils.data import random_split


def get_data(dataset):
    manual_seed(0)
    return random_split(dataset, [0.9, 0.1])
