from torchvision import datasets, transforms

augment = transforms.Compose([transforms.RandomCrop(32), transforms.ToTensor()])
plain = transforms.ToTensor()
train_eval_set = datasets.ImageFolder("train", transform=augment)
