import torch
import torch.utils.data


def main(train_set, test_set):
    train_sampler = torch.utils.data.distributed.DistributedSampler(train_set)
    for epoch in range(100):
        print(list(train_sampler))


if __name__ == "__main__":
    main([1], [2])
