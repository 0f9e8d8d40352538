# Yours: an update never touches this file.
"""Step 1: look at the data before deciding anything. Delete this script when you are done.

Run it with `python scripts/throwaway/explore.py`, or with the path of another table. It reads a
table as `validate` does: with the same separators, encodings and empty cells.
"""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.figure import Figure

SHOWN = 20  # columns that are drawn

sys.path.insert(0, "src")  # so that the project needn't be installed
package = next(Path("src").glob("*/data/source.py")).parents[1].name
source = import_module(f"{package}.data.source")
config = import_module(f"{package}.settings").DataConfig()
try:
    rows = source.scan(Path(sys.argv[1])) if len(sys.argv) > 1 else source.open_table(config)
    kinds, lines = source.infer(rows, config)
except source.DataError as error:
    sys.exit(str(error))

table = rows.collect()
print(f"{table.height} rows, {table.width} columns, {table.is_duplicated().sum()} duplicated rows")
print(*lines, sep="\n")
for name in table.columns:
    if kinds[name] == "category":
        most = table[name].drop_nulls().value_counts(sort=True).head(3).rows()
        print(f"{name}: most often", ", ".join(f"{text} ({count})" for text, count in most))

names = [name for name, kind in kinds.items() if kind == "number"]
if not names:
    print("There are no numbers to draw.")
    sys.exit()
if len(names) > SHOWN:
    print(f"Of {len(names)} columns of numbers, the first {SHOWN} are drawn.")
names = names[:SHOWN]
numbers = table.select(pl.col(names).cast(pl.Float64, strict=False))
height = -(-len(names) // 4)
figure = Figure(figsize=(12, 2.4 * height + 5), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=[2.4 * height, 5])
for axes, name in zip(above.subplots(height, 4, squeeze=False).flat, names, strict=False):
    axes.hist(numbers[name].drop_nulls().to_numpy(), bins=30, color="gray")
    axes.set_title(name, fontsize=9, parse_math=False)
with np.errstate(all="ignore"):  # a column that is constant
    ranks = numbers.select(pl.all().rank()).to_numpy()  # correlations of ranks: Spearman's
    correlation = np.atleast_2d(np.ma.corrcoef(np.ma.masked_invalid(ranks), rowvar=False))
axes = below.subplots()
shown = axes.imshow(correlation, cmap="RdBu", vmin=-1, vmax=1)
axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
axes.set_yticks(range(len(names)), names, parse_math=False)
axes.set_title("Rank correlation")
below.colorbar(shown)
path = Path("runs/explore.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path)
print(f"Histograms, and which columns go together: {path}")
print("Next: name the table and the target in settings.py, then validate.")
