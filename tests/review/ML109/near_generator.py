import torch
from torch.utils.data import random_split


def get_data(dataset):
    return random_split(dataset, [0.9, 0.1], generator=torch.Generator().manual_seed(1))
