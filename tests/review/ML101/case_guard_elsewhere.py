"""cgcnn: no_grad is there, but not around the forward pass."""

import torch
from torch.autograd import Variable


def validate(val_loader, model, criterion):
    model.eval()
    for inputs, target in val_loader:
        with torch.no_grad():
            inputs = Variable(inputs.cuda(non_blocking=True))
        output = model(inputs)
        print(criterion(output, target).item())
