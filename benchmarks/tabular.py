"""How far the tabular starter's network is from gradient boosting: `make bench`.

On the table at hand and on two more that scikit-learn bundles, each written as a CSV file whose
columns are then stated in a copy of the project, as its owner would: a number, two classes, three
classes. Each seed splits the rows anew, through a group a row, and draws everything else anew; the
network is trained by the project's own commands with its `configs/small.toml`, and compared on the
test split by what `evaluate` prints and its report shows. No setting is fitted to these two tables.

Prints medians over the seeds. The distance is the difference to boosting as a share of what a plain
guess costs, since a log loss may be next to nothing. Target: nowhere more than 0.05, in the median.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MOST = 0.05  # of what a plain guess costs
TABLES = {"diabetes": "progression", "breast_cancer": "diagnosis", "wine": "cultivar"}
GROUP = "drawn"  # the column by which a seed splits the rows


def table_of(name: str, source: Any) -> Any:
    """The table as a data frame, its target a text where it is a class."""
    import polars as pl
    from sklearn import datasets

    if name == "diabetes":
        return source.at_hand().collect()
    bunch: Any = getattr(datasets, f"load_{name}")()
    columns = [re.sub(r"\W+", "_", each) for each in bunch.feature_names]
    labels = pl.Series(TABLES[name], [str(bunch.target_names[each]) for each in bunch.target])
    return pl.DataFrame(bunch.data, schema=columns).with_columns(labels)


def state_columns(file: Path, name: str) -> None:
    """Put a table's columns into a project's source.py: twice the range of what is there."""
    text = file.read_text(encoding="utf-8").replace('GROUP = ""', f'GROUP = "{GROUP}"')
    if name != "diabetes":
        lines: list[str] = []
        frame = table_of(name, None)
        for column in frame.columns:
            if frame[column].dtype.is_numeric():
                low, high = float(frame[column].min()), float(frame[column].max())
                spare = (high - low) / 2
                lines.append(f'"{column}": Numeric(low={low - spare}, high={high + spare}),')
            else:
                lines.append(
                    f'"{column}": Categorical(values={tuple(frame[column].unique().sort())}),'
                )
        stated = "\n".join(("COLUMNS: Mapping[str, Column] = {", *lines, "}"))
        text = re.sub(r"(?ms)^COLUMNS.*?^\}$", lambda _: stated, text)
    file.write_text(text, encoding="utf-8")


def compared(name: str, seed: int, config: Path) -> dict[str, Any]:
    """Train in the folder that we are in; what the three models measure on the test split."""
    import polars as pl

    (package,) = (path.name for path in Path("src").iterdir() if (path / "cli.py").exists())
    module = {part: importlib.import_module(f"{package}.{part}") for part in MODULES}
    frame = table_of(name, module["data.source"])
    group = pl.format("{}-{}", pl.lit(seed), pl.int_range(len(frame))).alias(GROUP)
    table = Path(f"{name}-{seed}.csv")
    frame.with_columns(group).write_csv(table)
    options = ["--config", str(config), "--seed", str(seed), "--run-name", f"{name}-{seed}"]
    options += ["--data.path", str(table), "--data.target", TABLES[name]]
    with contextlib.redirect_stdout(io.StringIO()):
        assert module["cli"].main(["train", *options]) == 0
    run = module["training.run"].Run.open(Path("runs", f"{name}-{seed}"))
    settings = module["config"].from_dict(module["config"].read(run.config))
    loop = module["training.loop"]
    training, test = loop.load_split(settings, "train"), loop.load_split(settings, "test")
    strategy = module["training.retention"].Strategy(settings.checkpoint)
    checkpoints = module["training.checkpoint"].CheckpointStore(run.checkpoints, strategy)
    model = loop.build_network(settings, test)
    checkpoints.load_model(checkpoints.best(), model)
    found = module["eval.evaluate"].predict(model, test, settings.training.batch_size)
    result = module["eval.baseline"].compare(found, training, test)
    return {
        "verdict": result.verdict.partition(":")[0].partition(" on ")[0],
        "network": result.network.measures(),
        "boosting": result.boosting.measures(),
        "guess": result.guess.measures(),
    }


MODULES = (
    *("cli", "config", "data.source", "eval.baseline", "eval.evaluate", "training.checkpoint"),
    *("training.loop", "training.retention", "training.run"),
)


def main() -> int:
    """Compare on every table; 1 if the network is clearly worse on one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, help="a generated project with the tabular starter")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--config", default="configs/small.toml")
    parser.add_argument("--table", choices=TABLES, help=argparse.SUPPRESS)  # we call ourselves
    given = parser.parse_args()
    if given.table:
        sys.path.insert(0, "src")
        for seed in range(given.seeds):
            print(json.dumps(compared(given.table, seed, given.config)), flush=True)
        return 0
    worst = -1.0
    for name in TABLES:
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder) / "project"
            shutil.copytree(given.project, project, ignore=shutil.ignore_patterns("runs", "cache"))
            (source,) = project.glob("src/*/data/source.py")
            state_columns(source, name)
            command = [sys.executable, str(Path(__file__).resolve()), str(project), "--table", name]
            command += ["--seeds", str(given.seeds), "--config", given.config]
            done = subprocess.run(
                command,
                cwd=project,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                text=True,
                stdout=subprocess.PIPE,
                check=True,
            )
        found = [json.loads(line) for line in done.stdout.splitlines()]
        print(f"\n{name}, {TABLES[name]}: medians over {given.seeds} seeds")
        for measure in found[0]["network"]:
            values = {
                model: statistics.median(each[model][measure] for each in found)
                for model in ("network", "boosting", "guess")
            }
            print(f"  {measure:9}", *(f"{model} {value:.4g}" for model, value in values.items()))
        first = next(iter(found[0]["network"]))
        distances = [
            (each["network"][first] - each["boosting"][first]) / each["guess"][first]
            for each in found
        ]
        distance, lower = statistics.median(distances), sum(each < 0 for each in distances)
        print(f"  {first}: distance {distance:+.3f}, lower than boosting's in {lower} seeds")
        for verdict in sorted({each["verdict"] for each in found}):
            times = sum(each["verdict"] == verdict for each in found)
            print(f"  {times} times: {verdict}")
        worst = max(worst, distance)
    print(f"\nThe largest distance: {worst:+.3f} (to pass: at most {MOST:+.3f})")
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
