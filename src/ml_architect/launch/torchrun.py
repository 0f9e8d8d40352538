"""Starts several processes by torchrun, and exits as they did: with 0, 1, 2 or 75.

    python torchrun.py [OPTION OF TORCHRUN ...] COMMAND [ARGUMENT ...]

torchrun itself exits with 1 whenever a process hasn't exited with 0, and after any signal. This
file runs in the project's Python, or in a container, so it imports nothing but torch.
"""

import logging
import os
import signal
import sys
from pathlib import Path

STOPPED = 75  # the state is saved, and the same command continues: docs/run-format.md
INVALID = 2  # the settings are wrong, which each process says in one line
SIGNALS = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"  # the last one would kill torchrun


def main(arguments: list[str]) -> int:
    """Run a command in several processes.

    Returns:
        The exit code of the process that failed first; 1 if a signal has killed it.
    """
    folder = str(Path(__file__).resolve().parent)
    sys.path[:] = [path for path in sys.path if path != folder]  # its modules have common names
    try:
        from torch.distributed.elastic.multiprocessing import (  # pyright: ignore[reportMissingImports]
            SignalException,
        )
        from torch.distributed.elastic.multiprocessing.errors import (  # pyright: ignore[reportMissingImports]
            ChildFailedError,
        )
        from torch.distributed.run import (  # pyright: ignore[reportMissingImports]
            parse_args,
            run,
        )
    except ImportError as error:
        print(
            f"{sys.executable}: {error}. Several processes are started by torchrun, a part of "
            "PyTorch: install torch there",
            file=sys.stderr,
        )
        return 2

    # Options of torchrun as variables, since versions without them ignore those.
    os.environ.setdefault("PET_SIGNALS_TO_HANDLE", SIGNALS)
    # What it logs is below in one line; a stop that was asked for isn't an error.
    logging.disable(logging.ERROR)
    options = parse_args(["--no-python", *arguments])
    try:
        run(options)
    except SignalException:
        return STOPPED  # each process got the signal, and time to save
    except ChildFailedError as error:
        rank, first = error.get_first_failure()
        if first.exitcode == STOPPED:
            return STOPPED
        said = any(
            failure.local_rank == 0 and failure.exitcode == first.exitcode
            for failure in error.failures.values()
        )
        if (first.exitcode == INVALID and said) or (first.exitcode > 0 and first.local_rank == 0):
            return first.exitcode  # the first process of a machine prints to the terminal
        reason = f"with exit code {first.exitcode}"
        if first.exitcode < 0:
            reason = f"killed by {signal.Signals(-first.exitcode).name}"
        print(f"process {rank} ended first, {reason}; torchrun ended the others", file=sys.stderr)
        if first.exitcode != INVALID and "ML_ARCHITECT_CONTINUE" in os.environ:
            print(f"Continue with: {os.environ['ML_ARCHITECT_CONTINUE']}", file=sys.stderr)

        pattern = f"{options.rdzv_id}_*/attempt_*/{first.local_rank}/stderr.log"
        for log in sorted(Path(options.log_dir or "").glob(pattern))[-1:]:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            print(*lines[-5:], f"(details: {log})", sep="\n", file=sys.stderr)
        return max(first.exitcode, 1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
