"""The language model after two minutes of CPU training, beside n-gram models with back-off.

Trains a rendered project by its own command and config (`train --config configs/small.toml`), has
`evaluate` measure it on the test split, and has 5-gram models, counted over the whole training
split, predict the same bytes: the better one of modified Kneser-Ney and Witten-Bell is the opponent
(see ngrams.py). The network reads windows that know nothing of what stood before them; the n-grams
see every byte before, so that what is compared is to their advantage.

On a machine that others use as well, look at the seconds of processor time: with all cores to
itself, a run takes about as many as it has cores for each second of the clock.

    python benchmarks/language.py PROJECT

Target: fewer bits per byte than the better n-gram model, in at most two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
from ngrams import kneser_ney, witten_bell

ORDER = 5


def command(folder: Path, *arguments: str) -> str:
    """What a command of the project says."""
    (source,) = folder.glob("src/*/cli.py")
    done = subprocess.run(
        [sys.executable, "-m", f"{source.parent.name}.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "src"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def processor() -> float:
    """Seconds that finished commands have had of all cores together."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Train, evaluate, count, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("project", type=Path, help="a rendered project with this starter")
    parser.add_argument("--run-name", default="small", help="a finished run isn't trained again")
    folder, name = (options := parser.parse_args()).project.resolve(), options.run_name

    before = processor()
    command(folder, "train", "--config", "configs/small.toml", "--or-resume", "--run-name", name)
    spent = processor() - before
    *_, last = (folder / "runs" / name / "timings.jsonl").read_text(encoding="utf-8").splitlines()
    steps, seconds = json.loads(last)["step"], json.loads(last)["seconds"]
    provenance = json.loads((folder / "runs" / name / "run.json").read_text(encoding="utf-8"))
    config = provenance["config"]
    tokens = steps * config["training"]["batch_size"] * config["data"]["context"]
    said = command(folder, "evaluate", f"runs/{name}")
    (line,) = (line for line in said.splitlines() if line.startswith("bits per byte: "))
    ours = float(line.split()[3])

    (manifest,) = (folder / config["data"]["cache_dir"]).glob("*/manifest.json")
    cache = manifest.parent
    training, text = (np.fromfile(cache / f"{each}.tokens", np.uint8) for each in ("train", "test"))
    window = config["data"]["context"]
    asked = text[: (len(text) - 1) // window * window + 1]  # what `evaluate` asked about
    sizes, ends = (np.load(cache / f"test.{each}.npy") for each in ("bytes", "ends"))
    covered = np.diff(np.minimum(ends, len(asked))) / np.diff(ends)
    size = float((sizes * covered).sum())
    theirs = {
        model.__name__: float(-np.log2(model(training, asked, ORDER)[1:]).sum() / size)
        for model in (kneser_ney, witten_bell)
    }
    best = min(theirs.values())

    print(
        f"{tokens / 1e6:.2f} million tokens of {len(training) / 1e6:.2f} in {seconds:.0f} s", end=""
    )
    print(f", {spent:.0f} s of processor time with evaluation" if spent > 20 else "")
    print(f"{'bits per byte of':<24}{size:,.0f} held-out bytes, {len(sizes)} files")
    for model, bits in theirs.items():
        print(f"  {ORDER}-gram, {model.replace('_', '-'):<15}{bits:>8.4f}")
    print(f"  {'ours':<23}{ours:>7.4f}   {ours / best:.3f} times the better one")
    print(f"  {line}")
    print("Target: less than 1, within two minutes on two cores.")


if __name__ == "__main__":
    main()
