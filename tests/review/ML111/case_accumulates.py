"""Names that hold `gradient` or `zero_` set no gradients to zero."""


def train(args, model, optimizer, criterion, loader):
    for step, (inputs, mask, target) in enumerate(loader):
        mask[:, 0].zero_()
        loss = criterion(model(inputs, mask), target) / args.gradient_accumulation_steps
        loss.backward()
        if step % args.gradient_accumulation_steps == 0:
            optimizer.step()
