# Yours: an update never touches this file.
"""Step 1: look at the data before deciding anything. Delete this script when you are done.

Run it with `python scripts/throwaway/explore.py [FILE]`; by default, FILE is `data.path`.
"""

import csv
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, "src")  # so that the project needn't be installed
package = next(Path("src").glob("*/data/source.py")).parents[1].name
path = sys.argv[1] if len(sys.argv) > 1 else import_module(f"{package}.settings").DataConfig().path
with Path(path).open(newline="", encoding="utf-8") as file:
    header, *rows = csv.reader(file)
columns = header[1:-1]
if not rows or not columns:
    sys.exit(f"{path}: expected rows of an id, numbers and a label, below their names")
values = np.array([row[1:-1] for row in rows], dtype=float)
labels = np.array([row[-1] for row in rows])
print(f"{len(rows)} examples; most frequent labels: {Counter(labels.tolist()).most_common(10)}")
for name, column in zip(columns, values.T, strict=True):
    print(f"{name}: {column.min():g} to {column.max():g}, mean {column.mean():.2f}")

columns = columns[:20]
figure = Figure(figsize=(3 * len(columns), 3), layout="constrained")
panels = figure.subplots(1, len(columns), squeeze=False).flat
for axes, name, column in zip(panels, columns, values.T, strict=False):
    for label, _ in Counter(labels.tolist()).most_common(10):
        axes.hist(column[labels == label], alpha=0.6, label=label)
    axes.set_title(name, parse_math=False)
axes.legend()
path = Path("runs/explore.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path)
print(f"Histograms by class: {path}")
