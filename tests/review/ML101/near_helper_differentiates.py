"""continual-learning: a helper takes the gradients of the outputs."""

import torch


class Importance:
    def jacobian(self, output, inputs):
        return torch.autograd.grad(output, inputs, retain_graph=True)

    def kernels(self, loader):
        self.model.eval()
        for inputs in loader:
            outputs = self.model(inputs).softmax(-1)
            for index in range(outputs.shape[-1]):
                self.rows.append(self.jacobian(outputs[:, index].sum(), self.layers))
