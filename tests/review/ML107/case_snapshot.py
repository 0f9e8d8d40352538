"""DDP tutorial: the snapshot has the epoch, and no optimizer."""

import torch


class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        self.epochs_run = 0
        self._load_snapshot("snapshot.pt")

    def _load_snapshot(self, path):
        snapshot = torch.load(path)
        self.model.load_state_dict(snapshot["MODEL_STATE"])
        self.epochs_run = snapshot["EPOCHS_RUN"]

    def _save_snapshot(self, epoch):
        torch.save({"MODEL_STATE": self.model.module.state_dict(), "EPOCHS_RUN": epoch}, "snapshot.pt")

    def train(self, batches):
        for epoch in range(self.epochs_run, 100):
            for batch in batches:
                self.optimizer.zero_grad()
                self.model(batch).mean().backward()
                self.optimizer.step()
            self._save_snapshot(epoch)


if __name__ == "__main__":
    Trainer(torch.nn.Linear(4, 1)).train([torch.ones(2, 4)])
