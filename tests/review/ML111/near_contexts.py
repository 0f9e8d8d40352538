"""torch.distributed.autograd keeps the gradients of each pass apart."""

import torch.distributed.autograd as dist_autograd


def train(model, opt, loader):
    for batch in loader:
        with dist_autograd.context() as context_id:
            dist_autograd.backward(context_id, [model(batch).sum()])
            opt.step(context_id)
