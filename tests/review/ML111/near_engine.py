"""DeepSpeed zeroes gradients itself."""

import deepspeed


def train(engine, loader):
    for batch in loader:
        engine.backward(engine(batch))
        engine.step()
