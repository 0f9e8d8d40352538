# Yours: an update never touches this file.
"""Step 1: look at the data before deciding anything. Delete this script when you are done.

Run it with `python scripts/throwaway/explore.py [FOLDER]`; without a folder, it shows what
`data.path` of settings.py names.
"""

import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits

sys.path.insert(0, "src")  # so that the project needn't be installed
package = next(Path("src").glob("*/data/source.py")).parents[1].name
config = import_module(f"{package}.settings").DataConfig()
is_sample = len(sys.argv) == 1 and config.path == "digits"
images: list[tuple[str, Image.Image]] = []
if not is_sample:
    if len(sys.argv) > 1:  # anything, in any order of folders
        paths = [path for path in sorted(Path(sys.argv[1]).rglob("[!.]*")) if path.is_file()]
        files = [(path.parent.name, path) for path in paths]
    else:
        find_images = import_module(f"{package}.data.images").find_images
        try:
            found = find_images(Path(config.path), config.target, config.split)
        except import_module(f"{package}.errors").ProjectError as error:
            sys.exit(str(error))
        files = [(image.target, image.path) for image in found]
    for name, path in files[:: max(1, len(files) // 1000)]:  # at most about a thousand of them
        try:
            with Image.open(path) as image:
                image.load()
                images.append((name, image.copy()))
        except OSError as error:
            print(f"{path}: {error}")
    print(f"{len(files)} files, of which {len(images)} are shown below")
else:
    scans, labels = load_digits(return_X_y=True)
    pixels = (scans.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    images = [
        (str(label), Image.fromarray(digit)) for label, digit in zip(labels, pixels, strict=True)
    ]

if not images:
    sys.exit("There are no images to look at.")
print("per folder or class:", dict(Counter(name for name, _ in images)))
print("sizes:", Counter(image.size for _, image in images).most_common(5))
print("modes (L is grayscale):", dict(Counter(image.mode for _, image in images)))

figure = Figure(figsize=(8, 8), layout="constrained")
images.sort(key=lambda named: named[0])
for axes in figure.subplots(10, 10).flat:
    axes.set_axis_off()
for axes, (name, image) in zip(figure.axes, images[:: max(1, len(images) // 100)], strict=False):
    axes.imshow(image, cmap="gray_r" if is_sample else "gray")
    axes.set_title(name[:12], fontsize=6, parse_math=False)
path = Path("runs/explore.png")
path.parent.mkdir(exist_ok=True)
figure.savefig(path, dpi=120)
print(f"A hundred of them, by class: {path}")
