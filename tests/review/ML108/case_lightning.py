import argparse

import lightning as L


def main(model, data):
    trainer = L.Trainer(max_epochs=100)
    trainer.fit(model, data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    main(None, parser.parse_args().data)
