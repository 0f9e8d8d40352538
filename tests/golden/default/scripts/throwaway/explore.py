# Throwaway: may be deleted after 2027-02-22.
# Yours: an update never touches this file.
"""Step 1: look at the data before deciding anything. Delete this script when you are done.

Run it with `python scripts/throwaway/explore.py`.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8)
print(f"{len(images)} images of {images[0].shape}, values {images.min():g} to {images.max():g}")
print("examples per class:", dict(enumerate(np.bincount(labels).tolist())))
print("share of pixels that never vary:", f"{(images.std(axis=0) == 0).mean():.0%}")

figure = Figure(figsize=(8, 8), layout="constrained")
by_class = np.argsort(labels, kind="stable")[:: len(labels) // 100]
for axes, row in zip(figure.subplots(10, 10).flat, by_class, strict=False):
    axes.imshow(images[row], cmap="gray_r")
    axes.set_axis_off()
path = Path("runs/explore.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path)
print(f"A hundred of them, by class: {path}")
