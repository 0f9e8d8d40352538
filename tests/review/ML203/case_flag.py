from torchvision import datasets, transforms

augment = transforms.Compose([transforms.RandomCrop(32), transforms.ToTensor()])
plain = transforms.ToTensor()
held_out = datasets.CIFAR10("data", train=False, transform=augment)
