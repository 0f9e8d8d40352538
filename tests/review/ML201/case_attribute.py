class Trainer:
    def test(self):
        self.model.eval()

    def fit(self, loader):
        for epoch in range(10):
            for batch in loader:
                self.optimizer.zero_grad()
                self.model(batch).mean().backward()
                self.optimizer.step()
            self.test()
