"""The overhead of a study over starting its runs by hand, and the time to list runs.

    .venv/bin/python benchmarks/studies.py

Prints medians. The overhead per run is the time of a study minus the time of the same runs, started
by hand one after the other, divided by their number. It includes the startup of the tool, checking
the config with `train --dry-run`, the comparison and the report.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv-project/bin/python"
TOOL = [sys.executable, "-m", "ml_architect"]
RUNS = 500
SEEDS = 8
REPETITIONS = 3


def seconds(command: list[str], folder: Path) -> float:
    """Time a command."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def time_listing(folder: Path) -> None:
    """Time `runs` on many runs, each with 200 logged steps."""
    lines = [{"step": step, "train/loss": 1 / step} for step in range(10, 2010, 10)]
    metrics = "".join(f"{json.dumps(line)}\n" for line in lines)
    for number in range(RUNS):
        run = folder / f"runs/run-{number}"
        run.mkdir(parents=True)
        (run / "config.toml").write_text("seed = 0\n", encoding="utf-8")
        (run / "metrics.jsonl").write_text(metrics, encoding="utf-8")
        provenance = {"format": 1, "started": "2026-11-25T12:00:00+00:00"}
        (run / "run.json").write_text(json.dumps(provenance), encoding="utf-8")
        outcome = {"metric": "train/loss", "mode": "min", "best_value": 0.0005, "step": 2000}
        (run / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
    listing = median(seconds([*TOOL, "runs"], folder) for _ in range(5))
    print(f"runs on {RUNS} runs: {listing:.2f} s")


def time_study(folder: Path) -> None:
    """Time `ablate`, and the same runs started by hand."""
    project = folder / "project"
    shutil.copytree(ROOT / "examples/torch_regression", project)
    seeds = list(range(SEEDS // 2))
    (project / "study.toml").write_text(
        f"epochs = 5\n[ablate]\nseeds = {seeds}\nchanges.small = {{ hidden = 8 }}\n",
        encoding="utf-8",
    )
    command = f"{PYTHON} train.py"
    study = [*TOOL, "ablate", "study.toml", "--command", command]
    overheads: list[float] = []
    for _ in range(REPETITIONS):
        shutil.rmtree(project / "runs", ignore_errors=True)
        with_study = seconds(study, project)
        by_hand = 0.0
        for config in sorted((project / "runs/study/configs").glob("*.toml")):
            options = ["--config", str(config), "--run-name", f"hand/{config.stem}", "--or-resume"]
            by_hand += seconds([*command.split(), "train", *options], project)
        overheads.append((with_study - by_hand) / SEEDS)
        print(f"{SEEDS} runs: study {with_study:.1f} s, by hand {by_hand:.1f} s")
    print(f"overhead of a study per run: {median(overheads):.2f} s")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        help_time = median(seconds([*TOOL, "--help"], Path(folder)) for _ in range(9))
        print(f"--help: {help_time:.2f} s")
        time_listing(Path(folder))
        time_study(Path(folder))


if __name__ == "__main__":
    main()
