"""pytorch-template: the scheduler is an attribute of the trainer."""

import torch


class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.lr_scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 50)
        self.start_epoch = 0

    def resume(self, path):
        checkpoint = torch.load(path)
        self.model.load_state_dict(checkpoint["state_dict"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.start_epoch = checkpoint["epoch"]

    def train(self, loader):
        for epoch in range(self.start_epoch, 100):
            for batch in loader:
                self.optimizer.zero_grad()
                self.model(batch).mean().backward()
                self.optimizer.step()
            self.lr_scheduler.step()
            state = {"state_dict": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "epoch": epoch}
            torch.save(state, f"{epoch}.pt")


if __name__ == "__main__":
    trainer = Trainer(torch.nn.Linear(4, 1))
    trainer.resume("last.pt")
    trainer.train([torch.ones(2, 4)])
