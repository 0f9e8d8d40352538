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
left_out = {"encodings", "idlelib", "lib2to3", "site-packages", "test", "tests"}
texts = {
    str(path.relative_to(root)): path.read_bytes()
    for path in sorted(root.rglob("*.py"))
    if not left_out.intersection(path.relative_to(root).parts)
}
sizes = np.array([len(text) for text in texts.values()])
together = b"".join(texts.values())
counts = np.bincount(np.frombuffer(together, dtype=np.uint8), minlength=256)
shares = counts[counts > 0] / counts.sum()
print(f"{len(texts)} files, {sizes.sum():,} bytes; half of them are under {np.median(sizes):,.0f}")
print(f"the longest: {', '.join(sorted(texts, key=lambda name: -len(texts[name]))[:5])}")
print(f"bytes that occur: {len(shares)}; outside ASCII: {counts[128:].sum() / counts.sum():.2%}")
print(f"bits a byte, guessed by frequency: {-(shares * np.log2(shares)).sum():.3f}")
print(f"bits a byte, as zlib packs it: {8 * len(zlib.compress(together, 9)) / len(together):.3f}")

figure = Figure(figsize=(9, 3), layout="constrained")
left, right = figure.subplots(1, 2)
left.hist(np.log10(np.maximum(sizes, 1)), bins=40, color="gray")
left.set(xlabel="bytes of a file, power of ten", ylabel="files")
most = np.argsort(-counts)[:40]
right.bar([repr(chr(byte))[1:-1] for byte in most], counts[most] / counts.sum(), color="gray")
right.set(xlabel="the most frequent bytes", ylabel="share")
right.tick_params(axis="x", labelsize=6)
path = Path("runs/explore.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path)
print(f"How long the files are, and what they are made of: {path}")
