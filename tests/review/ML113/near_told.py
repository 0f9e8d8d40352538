from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler


def main(train_set, test_set):
    sampler = DistributedSampler(train_set)
    for epoch in range(100):
        sampler.set_epoch(epoch)
        print(list(sampler))


if __name__ == "__main__":
    main([1], [2])
