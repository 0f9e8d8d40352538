# Yours: an update never touches this file.
"""Step 1: look at the data before deciding anything. Delete this script when you are done.

Run it with `python scripts/throwaway/explore.py`, or with the path of another table.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes

if len(sys.argv) > 1:
    path = Path(sys.argv[1])
    table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
else:
    bunch = load_diabetes(scaled=False)
    table = pl.DataFrame(bunch.data, schema=bunch.feature_names)
    sex = pl.col("sex").cast(pl.Int64).cast(pl.String)
    table = table.with_columns(sex, pl.Series("target", bunch.target))
print(f"{table.height} rows, {table.width} columns, {table.is_duplicated().sum()} duplicated rows")

numeric = [name for name, kind in table.schema.items() if kind.is_numeric()]
for name in table.columns:
    column, missing = table[name], f"{table[name].null_count() / table.height:.1%} missing"
    if name in numeric:
        low, middle, high = column.min(), column.median(), column.max()
        print(f"{name}: {low:g} to {high:g}, median {middle:g}, {missing}")
    else:
        most = column.value_counts(sort=True).head(3).rows()
        shown = ", ".join(f"{text} ({count})" for text, count in most)
        print(f"{name}: {column.n_unique()} values, most often {shown}; {missing}")

rows = -(-len(numeric) // 4)
figure = Figure(figsize=(12, 2.4 * rows + 5), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=[2.4 * rows, 5])
for axes, name in zip(above.subplots(rows, 4, squeeze=False).flat, numeric, strict=False):
    axes.hist(table[name].drop_nulls().to_numpy(), bins=30, color="gray")
    axes.set_title(name, fontsize=9, parse_math=False)
ranks = table.select(pl.col(numeric).rank()).drop_nulls().to_numpy()
correlation = np.corrcoef(ranks.T)  # of ranks: Spearman's
axes = below.subplots()
shown = axes.imshow(correlation, cmap="RdBu", vmin=-1, vmax=1)
axes.set_xticks(range(len(numeric)), numeric, rotation=90, parse_math=False)
axes.set_yticks(range(len(numeric)), numeric, parse_math=False)
axes.set_title("Rank correlation")
below.colorbar(shown)
path = Path("runs/explore.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path)
print(f"Histograms, and which columns go together: {path}")
print("Now state the columns in data/source.py.")
