# Yours: an update never touches this file.
"""Step 1: look at the data before deciding anything. Delete this script when you are done.

Run it with `python scripts/throwaway/explore.py [PATH]`; by default, PATH is `data.path`.
"""

import sys
import zlib
from importlib import import_module
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

# The documents as the project itself reads them.
src = Path(__file__).resolve().parents[2] / "src"
sys.path.insert(0, str(src))
package = next(src.glob("*/settings.py")).parent.name
source = import_module(f"{package}.data.source")
settings = import_module(f"{package}.settings")
config = settings.DataConfig(path=sys.argv[1]) if len(sys.argv) > 1 else settings.DataConfig()
try:
    examples = list(source.read(config))
except import_module(f"{package}.errors").ProjectError as error:
    sys.exit(str(error))
documents = {each.id: each for each in examples if hasattr(each, "inputs")}
unreadable = [each for each in examples if not hasattr(each, "inputs")]
for each in unreadable[:5]:
    print(f"{each.id}: {each.problem}")
if not documents:
    sys.exit(f"{config.path}: no document can be read")

sizes = np.array([len(each.inputs) for each in documents.values()])
longest = sorted(documents, key=lambda name: -len(documents[name].inputs))[:5]
print(f"{len(documents)} documents, {len(unreadable)} unreadable; {sizes.sum():,} bytes")
print(f"bytes per document: {sizes.min():,} to {sizes.max():,}, median {np.median(sizes):,.0f}")
print(f"longest: {'; '.join(longest)}")
first = next(iter(documents.values()))
print(f"{first.id} begins with {first.inputs[:200].tobytes().decode(errors='replace')!r}")

# Two baselines for the model's bits per byte.
corpus = np.concatenate([each.inputs for each in documents.values()])[:20_000_000]
counts = np.bincount(corpus, minlength=256)
frequencies = counts[counts > 0] / counts.sum()
entropy = -(frequencies * np.log2(frequencies)).sum()
print(f"{len(frequencies)} different bytes; outside ASCII: {counts[128:].sum() / counts.sum():.2%}")
print(f"bits per byte: {entropy:.3f} (unigram entropy)")
print(f"bits per byte: {8 * len(zlib.compress(corpus, 9)) / len(corpus):.3f} (zlib)")

figure = Figure(figsize=(9, 3), layout="constrained")
left, right = figure.subplots(1, 2)
left.hist(np.log10(sizes), bins=40, color="gray")
left.set(xlabel="log10 of the bytes per document", ylabel="documents")
most_frequent = np.argsort(-counts)[:40]
labels = [repr(chr(byte))[1:-1].replace("$", r"\$") for byte in most_frequent]
right.bar(labels, counts[most_frequent] / counts.sum(), color="gray")
right.set(xlabel="most frequent bytes", ylabel="fraction")
right.tick_params(axis="x", labelsize=6)
path = Path("runs/explore.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path)
print(f"Distributions of the document sizes and the bytes: {path}")
