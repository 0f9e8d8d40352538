"""Predict how far diabetes progresses within a year: regression in PyTorch.

python train.py train --config configs/base.toml --run-name baseline
"""

import argparse
import fcntl
import json
import math
import signal
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import tomli_w
from settings import read_config

stop_signals = []


def main():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda number, _: stop_signals.append(number))

    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["train"])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--run-name", default="baseline")
    parser.add_argument("--or-resume", action="store_true", help="a run is always resumed")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()

    config, problems = read_config(arguments.config)
    if problems:
        leave(2, "\n".join(problems))
    if arguments.dry_run:
        print(tomli_w.dumps(config))
    else:
        train(Path("runs") / arguments.run_name, config)


def leave(exit_code, message):
    """Exit with a message on standard error."""
    print(message, file=sys.stderr)
    sys.exit(exit_code)


def write(path, text):
    """Write a file atomically, since the process may be killed at any time."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def train(run, config):
    """Train a run to the end, resuming from its checkpoint if there is one."""
    # One process at a time. The system releases the lock when the process ends, even if killed.
    run.mkdir(parents=True, exist_ok=True)
    lock = (run / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        leave(3, f"{run} is in use by another process")

    if not (run / "run.json").exists():
        write(run / "config.toml", tomli_w.dumps(config))
        created = {"format": 1, "started": datetime.now(UTC).isoformat()}
        write(run / "run.json", json.dumps(created))
    if config != tomllib.loads((run / "config.toml").read_text(encoding="utf-8")):
        leave(2, f"{run} was started with other settings; choose another --run-name")
    if (run / "outcome.json").exists():
        return

    # PyTorch takes seconds to import, and nothing above needs it.
    import torch
    from model import build_model, load_data

    (inputs, targets), (validation_inputs, validation_targets), _ = load_data()
    num_examples = round(config["train_fraction"] * len(inputs))
    torch.manual_seed(config["seed"])
    model = build_model(config["hidden"])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config["learning_rate"], weight_decay=config["weight_decay"]
    )
    compute_loss = torch.nn.MSELoss()

    checkpoint = run / "checkpoint.pt"
    state = {"epoch": 0, "step": 0, "log_bytes": 0, "best_value": math.inf}
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    log = (run / "metrics.jsonl").open("a", encoding="utf-8")
    log.truncate(state["log_bytes"])  # drops what was logged after the checkpoint

    while state["epoch"] < config["epochs"]:
        # The order depends only on the seed and the epoch, so that a resumed run sees the same
        # batches as an uninterrupted one.
        torch.manual_seed(1_000_003 * config["seed"] + state["epoch"])
        for batch in torch.randperm(num_examples).split(config["batch_size"]):
            loss = compute_loss(model(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            state["step"] += 1
        state["epoch"] += 1

        with torch.no_grad():
            value = compute_loss(model(validation_inputs), validation_targets).item()
        if not math.isfinite(value):
            leave(1, f"validation/loss is {value} at step {state['step']}")
        metrics = {"step": state["step"], "train/loss": loss.item(), "validation/loss": value}
        log.write(json.dumps(metrics) + "\n")
        log.flush()
        if value < state["best_value"]:
            state |= {"best_value": value, "best_step": state["step"]}
            torch.save(model.state_dict(), run / "best.pt")  # written again if killed here

        state["log_bytes"] = log.tell()
        state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, run / "checkpoint.tmp")
        (run / "checkpoint.tmp").replace(checkpoint)
        if stop_signals:
            leave(75, f"stopped at step {state['step']}; the same command continues")

    outcome = {name: state[name] for name in ("best_value", "best_step", "step")}
    outcome |= {"metric": "validation/loss", "mode": "min", "train_examples": num_examples}
    outcome["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    write(run / "outcome.json", json.dumps(outcome))


if __name__ == "__main__":
    main()
