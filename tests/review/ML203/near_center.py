from torchvision import datasets, transforms

augment = transforms.Compose([transforms.CenterCrop(32), transforms.ToTensor()])
plain = transforms.ToTensor()
val_set = datasets.ImageFolder("val", transform=augment)
