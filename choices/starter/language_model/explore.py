# Yours: an update never touches this file.
"""Step 1: look at the data before deciding anything. Delete this script when you are done.

Run it with `python scripts/throwaway/explore.py`.
"""

import sysconfig
import zlib
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

root = Path(sysconfig.get_path("stdlib"))
ignored = {"encodings", "idlelib", "lib2to3", "site-packages", "test", "tests"}
documents = {
    str(path.relative_to(root)): path.read_bytes()
    for path in sorted(root.rglob("*.py"))
    if not ignored.intersection(path.relative_to(root).parts)
}
sizes = np.array([len(text) for text in documents.values()])
corpus = b"".join(documents.values())
longest = sorted(documents, key=lambda name: -len(documents[name]))[:5]
print(f"{len(documents)} files, {sizes.sum():,} bytes; median {np.median(sizes):,.0f} bytes")
print(f"longest files: {', '.join(longest)}")

# Two baselines for the model's bits per byte.
counts = np.bincount(np.frombuffer(corpus, dtype=np.uint8), minlength=256)
frequencies = counts[counts > 0] / counts.sum()
entropy = -(frequencies * np.log2(frequencies)).sum()
print(f"{len(frequencies)} different bytes; outside ASCII: {counts[128:].sum() / counts.sum():.2%}")
print(f"bits per byte: {entropy:.3f} (unigram entropy)")
print(f"bits per byte: {8 * len(zlib.compress(corpus, 9)) / len(corpus):.3f} (zlib)")

figure = Figure(figsize=(9, 3), layout="constrained")
left, right = figure.subplots(1, 2)
left.hist(np.log10(np.maximum(sizes, 1)), bins=40, color="gray")
left.set(xlabel="log10 of the bytes per file", ylabel="files")
most_frequent = np.argsort(-counts)[:40]
labels = [repr(chr(byte))[1:-1] for byte in most_frequent]
right.bar(labels, counts[most_frequent] / counts.sum(), color="gray")
right.set(xlabel="most frequent bytes", ylabel="fraction")
right.tick_params(axis="x", labelsize=6)
path = Path("runs/explore.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path)
print(f"Distributions of the file sizes and the bytes: {path}")
