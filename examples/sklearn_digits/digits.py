"""Classify handwritten digits with a small neural network from scikit-learn.

digits validate
digits train --config configs/base.toml --run-name baseline
digits evaluate runs/baseline
"""

from __future__ import annotations

import argparse
import copy
import csv
import fcntl
import hashlib
import io
import json
import pickle
import signal
import sys
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import tomli_w

# numpy and scikit-learn take a second to import, so only functions that compute import them:
# `train --dry-run` and `--help` answer at once.

DEFAULTS = {
    "seed": 0,
    "training": {
        "epochs": 20,
        "batch_size": 50,  # at most 200: scikit-learn splits larger batches
        "learning_rate": 0.003,
        "train_fraction": 1.0,
    },
    "model": {"hidden_units": 32, "weight_decay": 0.0001, "activation": "relu"},
    "checkpoint": {"metric": "validation/accuracy", "mode": "max"},
}

# The bounds of a number, or the options of a string.
ALLOWED = {
    "seed": (0, 2**31),
    "training.epochs": (1, 100_000),
    "training.batch_size": (1, 200),
    "training.learning_rate": (1e-6, 1.0),
    "training.train_fraction": (0.05, 1.0),
    "model.hidden_units": (1, 4096),
    "model.weight_decay": (0.0, 10.0),
    "model.activation": ["relu", "tanh", "logistic"],
    "checkpoint.metric": ["validation/accuracy", "validation/loss"],
    "checkpoint.mode": ["min", "max"],
}


class CommandError(Exception):
    """An error that the user can fix, with its exit code."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def main() -> None:
    stop_signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda number, _: stop_signals.append(number))

    parser = argparse.ArgumentParser(prog="digits")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("validate", help="check the data")
    options = commands.add_parser("train", help="train a run, or resume it")
    options.add_argument("--config", type=Path, required=True)
    options.add_argument("--run-name", default="baseline")
    options.add_argument("--or-resume", action="store_true", help="resume the run if it exists")
    options.add_argument("--dry-run", action="store_true", help="print the config only")
    options = commands.add_parser("evaluate", help="measure a run on the test split")
    options.add_argument("run", type=Path, help="folder of the run, such as runs/baseline")
    arguments = parser.parse_args()

    try:
        if arguments.command == "validate":
            validate()
        elif arguments.command == "evaluate":
            evaluate(arguments.run)
        else:
            config = resolve_config(arguments.config)
            if arguments.dry_run:
                print(tomli_w.dumps(config), end="")
            else:
                run = Path("runs") / arguments.run_name
                train(run, config, arguments.or_resume, stop_signals)
    except CommandError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


# -- settings ---------------------------------------------------------------------------------


def resolve_config(path: Path) -> dict:
    """Read a config file and fill in the defaults.

    Raises:
        CommandError: the file can't be read, or has invalid settings; the message lists all.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: {error}") from None

    config = {}
    problems = []
    for name, default in DEFAULTS.items():
        if not isinstance(default, dict):
            config[name] = check(name, given.pop(name, default), default, problems)
            continue
        section = given.pop(name, {})
        if not isinstance(section, dict):
            problems.append(f"{name}: {section!r}, expected a table")
            continue
        config[name] = {}
        for key, value in default.items():
            full_name = f"{name}.{key}"
            config[name][key] = check(full_name, section.pop(key, value), value, problems)
        problems += [f"{name}.{key}: no such setting" for key in section]
    problems += [f"{name}: no such setting" for name in given]
    if problems:
        raise CommandError("\n".join(problems))
    return config


def check(name: str, value: object, default: object, problems: list[str]) -> object:
    """Return a setting's value. Append to `problems` if it isn't allowed."""
    allowed = ALLOWED[name]
    if isinstance(allowed, list):
        if value not in allowed:
            problems.append(f"{name}: {value!r}, expected one of {', '.join(allowed)}")
        return value
    low, high = allowed
    kind = "an integer" if isinstance(default, int) else "a number"
    if type(value) not in (int, type(default)) or not low <= value <= high:
        problems.append(f"{name}: {value!r}, expected {kind} from {low} to {high}")
    return value


# -- data -------------------------------------------------------------------------------------


def load_splits() -> dict:
    """Return the examples of each split. The split is the same for every seed."""
    import numpy as np
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images / 16  # to [0, 1]
    indices = np.split(np.random.default_rng(0).permutation(len(images)), [1000, 1400])
    return {
        split: {"ids": ids, "images": images[ids], "labels": labels[ids]}
        for split, ids in zip(("train", "validation", "test"), indices, strict=True)
    }


def digest(splits: dict) -> str:
    """Return a hash of the data."""
    content = hashlib.sha256()
    for data in splits.values():
        content.update(data["ids"].tobytes() + data["images"].tobytes() + data["labels"].tobytes())
    return content.hexdigest()[:16]


def validate() -> None:
    """Check the data and write it to data/cache."""
    import numpy as np

    splits = load_splits()
    for split, data in splits.items():
        pixels = data["images"]
        if pixels.min() < 0 or pixels.max() > 1:
            raise CommandError(f"{split}: pixels from {pixels.min()} to {pixels.max()}", 1)

    folder = Path("data/cache") / digest(splits)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for split, data in splits.items():
        np.save(folder / f"{split}.inputs.npy", data["images"].astype("float32"))
        for index, image in enumerate(data["images"]):
            rows.append([data["ids"][index], split, data["labels"][index], "", image.mean()])
    write_csv(folder / "examples.csv", ["id", "split", "label", "group", "mean_intensity"], rows)
    print(f"{len(rows)} examples are valid; written to {folder}")


# -- training ---------------------------------------------------------------------------------


def train(run: Path, config: dict, or_resume: bool, stop_signals: list[int]) -> None:
    """Train a run to the end, resuming from its checkpoint if there is one.

    Raises:
        CommandError: the run can't be trained, or a signal stopped it.
    """
    if run.exists() and not or_resume:
        raise CommandError(f"{run} exists; resume it with --or-resume, or choose a --run-name")

    # The system releases the lock when the process ends, even if it is killed.
    run.mkdir(parents=True, exist_ok=True)
    lock = (run / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CommandError(f"{run} is in use by another process", 3) from None

    if (run / "config.toml").exists():
        earlier = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
        if earlier != config:
            raise CommandError(f"{run} was created with other settings; choose a --run-name")
    if (run / "outcome.json").exists():
        print(f"{run} has already finished")
        return

    import numpy as np
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    splits = load_splits()
    if not (run / "run.json").exists():
        write(run / "config.toml", tomli_w.dumps(config))
        write(
            run / "run.json",
            json.dumps(
                {
                    "format": 1,
                    "started": datetime.now(UTC).isoformat(),
                    "command": sys.argv,
                    "seed": config["seed"],
                    "data": digest(splits),
                }
            ),
        )

    # Unpickling can run arbitrary code: load only checkpoints that you wrote yourself.
    settings = config["training"]
    checkpoint = run / "checkpoint.pickle"
    if checkpoint.exists():
        state = pickle.loads(checkpoint.read_bytes())
    else:
        model = MLPClassifier(
            hidden_layer_sizes=[config["model"]["hidden_units"]],
            activation=config["model"]["activation"],
            alpha=config["model"]["weight_decay"],
            learning_rate_init=settings["learning_rate"],
            random_state=config["seed"],
        )
        state = {"model": model, "epoch": 0, "step": 0, "seconds": 0.0, "log_bytes": 0}
        state |= {"best_value": None, "best_step": None, "best_model": None}
    model = state["model"]

    images, labels = splits["train"]["images"], splits["train"]["labels"]
    num_examples = round(settings["train_fraction"] * len(images))
    validation = splits["validation"]
    metric, mode = config["checkpoint"]["metric"], config["checkpoint"]["mode"]

    with (run / "metrics.jsonl").open("a", encoding="utf-8") as log:
        log.truncate(state["log_bytes"])  # drops what was logged after the checkpoint
        while state["epoch"] < settings["epochs"]:
            started = time.monotonic()

            # The order depends only on the seed and the epoch, so that a resumed run sees the same
            # batches as an uninterrupted one. The model contains its optimizer's state.
            order = np.random.default_rng([config["seed"], state["epoch"]]).permutation(
                num_examples
            )
            losses = []
            for start in range(0, num_examples, settings["batch_size"]):
                batch = order[start : start + settings["batch_size"]]
                model.partial_fit(images[batch], labels[batch], classes=range(10))
                losses.append(model.loss_)
            state["step"] += len(losses)
            state["epoch"] += 1

            probabilities = model.predict_proba(validation["images"])
            correct = probabilities.argmax(axis=1) == validation["labels"]
            metrics = {
                "train/loss": float(np.mean(losses)),
                "validation/loss": float(log_loss(validation["labels"], probabilities)),
                "validation/accuracy": float(correct.mean()),
            }
            if not np.isfinite(list(metrics.values())).all():
                raise CommandError(f"the loss isn't finite at step {state['step']}", 1)
            log.write(json.dumps({"step": state["step"], **metrics}) + "\n")
            log.flush()

            value, best = metrics[metric], state["best_value"]
            if best is None or (value > best if mode == "max" else value < best):
                state |= {"best_value": value, "best_step": state["step"]}
                state["best_model"] = copy.deepcopy(model)
            state["seconds"] += time.monotonic() - started
            state["log_bytes"] = log.tell()
            write(checkpoint, pickle.dumps(state))
            if stop_signals:
                raise CommandError(f"stopped at step {state['step']}; run it again to resume", 75)

    outcome = {
        "metric": metric,
        "mode": mode,
        "best_value": state["best_value"],
        "best_step": state["best_step"],
        "step": state["step"],
        "ended_by": "training.epochs",
        "seconds": state["seconds"],
        "parameters": sum(array.size for array in model.coefs_ + model.intercepts_),
        "train_examples": num_examples,
    }
    write(run / "outcome.json", json.dumps(outcome))
    print(f"{run}: best {metric} {state['best_value']:.4f} at step {state['best_step']}")


def evaluate(run: Path) -> None:
    """Write the predictions of a run's best model for the test split.

    Raises:
        CommandError: the run has no checkpoint.
    """
    checkpoint = run / "checkpoint.pickle"
    if not checkpoint.exists():
        raise CommandError(
            f"{run}: there is no checkpoint; expected a folder such as runs/baseline"
        )

    import numpy as np

    model = pickle.loads(checkpoint.read_bytes())["best_model"]
    test = load_splits()["test"]
    probabilities = model.predict_proba(test["images"])
    rows = []
    for index, label in enumerate(test["labels"]):
        predicted = probabilities[index].argmax()
        confidence = probabilities[index][predicted]
        loss = -np.log(max(probabilities[index][label], 1e-15))
        intensity = test["images"][index].mean()
        rows.append([test["ids"][index], label, predicted, confidence, loss, intensity])
    columns = ["id", "label", "predicted", "confidence", "loss", "mean_intensity"]
    write_csv(run / "predictions.csv", columns, rows)
    accuracy = np.mean([row[1] == row[2] for row in rows])
    print(f"test/accuracy {accuracy:.4f}; predictions written to {run / 'predictions.csv'}")


# -- files ------------------------------------------------------------------------------------


def write(path: Path, content: str | bytes) -> None:
    """Write a file atomically, since the process may be killed at any time."""
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)


def write_csv(path: Path, columns: list[str], rows: list[list]) -> None:
    """Write a CSV file with a header."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    write(path, text.getvalue())


if __name__ == "__main__":
    main()
