"""What it takes to validate and pack a large corpus: time, and the most memory in use.

Writes a corpus of the size that is asked for, with lines that no other line equals, and runs the
project's own `validate` on it, in a process of its own. Memory is the largest resident set of that
process and of any that it started, as the kernel counts it (`ru_maxrss`): pages of files that it
maps are included.

The limit is beside it: to read the files and to write the same bytes, which is the least there is
to do.

    python benchmarks/packing.py PROJECT --gigabytes 2

Target: under 500 MB of memory, whatever the size.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MOST = 500  # MB
FILE = 64_000_000  # bytes of a file: some sixty blocks
PIECE = 1_000_000

MEASURED = """
import json, resource, runpy, sys
from {package} import cli
code = cli.main(["validate", *sys.argv[1:]])
used = [resource.getrusage(each).ru_maxrss for each in
        (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({{"code": code, "kilobytes": max(used)}}), file=sys.stderr)
"""


def write_corpus(folder: Path, size: int) -> None:
    """Lines of random words, so that no two blocks are alike."""
    random = np.random.Generator(np.random.Philox(0))
    letters = np.frombuffer(b"etaoinshrdlu" * 2 + b"cmfwyp" + b" " * 6 + b"\n", dtype=np.uint8)
    folder.mkdir()
    written = number = 0
    while written < size:
        with (folder / f"{number:04d}.txt").open("wb") as file:
            for _ in range(min(FILE, size - written) // PIECE):
                file.write(letters[random.integers(0, len(letters), size=PIECE)].tobytes())
                written += PIECE
        number += 1


def validate(project: Path, corpus: Path, cache: Path) -> tuple[float, float, str]:
    """Seconds and megabytes of the command, and what it said."""
    (source,) = project.glob("src/*/cli.py")
    program = MEASURED.format(package=source.parent.name)
    settings = ["--data.path", str(corpus), "--data.cache-dir", str(cache)]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *settings],
        cwd=project,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - began
    found = json.loads(done.stderr.splitlines()[-1])
    if found["code"]:
        sys.exit(done.stderr)
    return seconds, found["kilobytes"] * 1024 / 1e6, done.stdout


def copy(corpus: Path, target: Path) -> float:
    """Seconds to read every file and write it again."""
    began = time.perf_counter()
    with target.open("wb") as written:
        for path in sorted(corpus.iterdir()):
            with path.open("rb") as file:
                shutil.copyfileobj(file, written, 1 << 20)
    seconds = time.perf_counter() - began
    target.unlink()
    return seconds


def main() -> None:
    """Write, pack, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("project", type=Path, help="a rendered project with this starter")
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--scratch", type=Path, help="a folder with room for twice the corpus")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        corpus, size = Path(scratch) / "corpus", int(options.gigabytes * 1e9)
        write_corpus(corpus, size)
        least = copy(corpus, Path(scratch) / "copy")
        seconds, megabytes, said = validate(options.project, corpus, Path(scratch) / "cache")
        packed = sum(path.stat().st_size for path in Path(scratch).glob("cache/*/*.tokens"))
    print(said.splitlines()[-3])
    print(f"corpus {size / 1e9:.2f} GB, packed {packed / 1e9:.2f} GB, in {seconds:.1f} s ", end="")
    print(f"({size / 1e6 / seconds:.0f} MB/s); to copy it takes {least:.1f} s")
    print(f"most memory in use: {megabytes:.0f} MB (target: under {MOST})")
    sys.exit(megabytes >= MOST)


if __name__ == "__main__":
    main()
