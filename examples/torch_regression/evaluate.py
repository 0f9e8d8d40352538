"""Write the predictions of a run's best model for the test split.

python evaluate.py runs/baseline
"""

import csv
import sys
import tomllib
from pathlib import Path

import torch
from model import build_model, load_data, split_rows
from sklearn.datasets import load_diabetes


def main():
    """Write predictions.csv into a run's folder."""
    run = Path(sys.argv[1])
    config = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    model = build_model(config["hidden"])
    model.load_state_dict(torch.load(run / "best.pt"))

    _, _, (inputs, targets) = load_data()
    with torch.no_grad():
        predictions = model(inputs)
    losses = (predictions - targets) ** 2

    rows = split_rows()[2].tolist()
    patients, _ = load_diabetes(scaled=False, return_X_y=True)  # in years and kg/m²
    with (run / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", "predicted", "loss", "age", "sex", "bmi"])
        for index, row in enumerate(rows):
            label, predicted = 100 * targets[index].item(), 100 * predictions[index].item()
            age, sex, bmi = patients[row][:3]
            # Sex as a string, so that it is treated as a category.
            metadata = [age, f"code {sex:.0f}", bmi]
            writer.writerow([row, label, predicted, losses[index].item(), *metadata])


if __name__ == "__main__":
    main()
