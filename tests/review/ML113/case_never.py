"""ViT-pytorch: the sampler is made, and never told the epoch."""

from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler


def main(train_set, test_set):
    sampler = DistributedSampler(train_set)
    loader = DataLoader(train_set, sampler=sampler)
    for epoch in range(100):
        print(list(loader))


if __name__ == "__main__":
    main([1], [2])
