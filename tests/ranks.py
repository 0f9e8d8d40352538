"""A training script of several processes that keeps the contracts: docs/run-format.md.

It is started as any project's command is, and reads RANK and WORLD_SIZE if they are there.
"""

import argparse
import json
import os
import signal
import sys
import time
import tomllib
from pathlib import Path

stop_signals: list[int] = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    signal.signal(number, lambda number, _: stop_signals.append(number))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["train"])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--run-name", default="full")
    parser.add_argument("--or-resume", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    settings = {"steps": 60, "seconds": 0.05} | tomllib.loads(arguments.config.read_text())
    if unknown := settings.keys() - {"steps", "seconds"}:
        print(f"{unknown.pop()}: no such setting", file=sys.stderr)
        sys.exit(2)
    if arguments.dry_run:
        print(*(f"{name} = {value}" for name, value in settings.items()), sep="\n")
    else:
        train(Path("runs") / arguments.run_name, **settings)


def train(run: Path, steps: int, seconds: float) -> None:
    import torch
    import torch.distributed as dist

    if seconds < 0:  # found late, by each process
        print(f"seconds = {seconds}: expected at least 0", file=sys.stderr)
        sys.exit(2)

    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    dist.init_process_group(
        "gloo", rank=rank, world_size=size, store=None if size > 1 else dist.HashStore()
    )
    run.mkdir(parents=True, exist_ok=True)
    (run / f"process-{rank}").write_text(str(os.getpid()))
    print(f"process {rank} of {size}, threads {os.environ.get('OMP_NUM_THREADS')}", flush=True)

    state = {"step": 0, "value": 1.0, "log_bytes": 0}
    if (run / "state.json").exists():
        state = json.loads((run / "state.json").read_text())
    log = (run / "metrics.jsonl").open("a")
    log.truncate(state["log_bytes"])
    dist.barrier()
    while state["step"] < steps:
        time.sleep(seconds)
        # Whether to stop, and a gradient.
        shared = torch.tensor([float(bool(stop_signals)), state["value"] / 3 + state["step"]])
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        state["value"] = state["value"] / 3 + shared[1].item() / 7
        state["step"] += 1
        if rank == 0:
            metrics = {"step": state["step"], "validation/loss": state["value"]}
            log.write(json.dumps(metrics) + "\n")
            log.flush()
        if shared[0]:
            if rank == 0:
                time.sleep(1)  # saving takes a while
                state["log_bytes"] = log.tell()
                (run / "state.json").write_text(json.dumps(state))
            dist.barrier()
            dist.destroy_process_group()  # or its threads may abort the process when it exits
            print(f"stopped at step {state['step']}", file=sys.stderr)
            sys.exit(75)
    if rank == 0:
        outcome = {"metric": "validation/loss", "mode": "min", "best_value": state["value"]}
        (run / "outcome.json").write_text(json.dumps(outcome))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
