"""minGPT-ddp: each process draws its own split."""

from torch.utils.data import random_split


def get_data(dataset):
    size = int(len(dataset) * 0.9)
    return random_split(dataset, [size, len(dataset) - size])
