# Yours: an update never touches this file.
"""Step 1: look at the data before deciding anything. Delete this script when you are done.

Run it with `python scripts/throwaway/explore.py`.
"""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

with Path("data/records.csv").open(newline="", encoding="utf-8") as file:
    header, *rows = csv.reader(file)
columns = header[1:-1]
values = np.array([row[1:-1] for row in rows], dtype=float)
labels = np.array([row[-1] for row in rows])
print(f"{len(rows)} examples, by class: {dict(Counter(labels.tolist()))}")
for name, column in zip(columns, values.T, strict=True):
    print(f"{name}: {column.min():g} to {column.max():g}, mean {column.mean():.2f}")

figure = Figure(figsize=(3 * len(columns), 3), layout="constrained")
for axes, name, column in zip(figure.subplots(1, len(columns)), columns, values.T, strict=True):
    for label in sorted(set(labels.tolist())):
        axes.hist(column[labels == label], alpha=0.6, label=label)
    axes.set(title=name)
axes.legend()
path = Path("runs/explore.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path)
print(f"Histograms by class: {path}")
