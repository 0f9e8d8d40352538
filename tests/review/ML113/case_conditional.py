from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler


def main(train_set, test_set):
    train_sampler = DistributedSampler(train_set, shuffle=True) if len(train_set) else None
    for epoch in range(100):
        print(list(DataLoader(train_set, sampler=train_sampler)))


if __name__ == "__main__":
    main([1], [2])
