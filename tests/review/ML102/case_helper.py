"""The checkpoint is written and read by methods of a trainer."""

import torch


class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.epoch = 0

    def save(self):
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "epoch": self.epoch}
        torch.save(state, f"{self.epoch}.pt")

    def resume(self, path):
        state = torch.load(path)
        self.model.load_state_dict(state["model"])
        self.epoch = state["epoch"]

    def train(self, loader):
        for self.epoch in range(self.epoch, 100):
            for batch in loader:
                self.optimizer.zero_grad()
                self.model(batch).mean().backward()
                self.optimizer.step()
            self.save()


if __name__ == "__main__":
    trainer = Trainer(torch.nn.Linear(4, 1))
    trainer.resume("last.pt")
    trainer.train([torch.ones(2, 4)])
