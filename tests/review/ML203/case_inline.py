from torchvision import datasets, transforms

augment = transforms.Compose([transforms.RandomCrop(32), transforms.ToTensor()])
plain = transforms.ToTensor()
test_set = datasets.ImageFolder("test", transform=transforms.RandomHorizontalFlip())
