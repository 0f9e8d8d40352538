"""The generator of one split doesn't seed the other."""

import torch
from torch.utils.data import random_split


def get_data(dataset, sources):
    generator = torch.Generator()
    generator.manual_seed(1)
    kept, _ = random_split(sources, [0.5, 0.5], torch.Generator().manual_seed(0))
    print(list(kept), torch.randperm(4, generator=generator))
    return random_split(dataset, [0.9, 0.1])
