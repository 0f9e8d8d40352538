"""Lightning saves checkpoints itself."""

import lightning as L


def main(model, data):
    trainer = L.Trainer(max_epochs=100)
    trainer.fit(model, data)


if __name__ == "__main__":
    main(None, None)
