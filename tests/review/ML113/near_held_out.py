from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler


def main(train_set, test_set):
    test_sampler = DistributedSampler(test_set)
    print(list(test_sampler))


if __name__ == "__main__":
    main([1], [2])
