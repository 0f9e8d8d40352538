"""PointNet++ and deepchem: before and after the step, times the batch."""


def train(model, optimizer, criterion, loader):
    loss_sum = 0
    for inputs, target in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), target)
        loss.backward()
        optimizer.step()
        loss_sum = loss_sum + loss * len(inputs)
    print(loss_sum)
