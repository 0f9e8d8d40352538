"""Several processes on this machine, which measure together."""

import json
import os
import socket
import subprocess
from typing import Any


def run_together(command: list[str], processes: int) -> Any:
    """Run a command in so many processes, as torchrun does. Returns what the first has printed."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = str(opened.getsockname()[1])
    shared = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate()[0] for process in started]
    assert not any(process.returncode for process in started), outputs
    return json.loads(outputs[0].splitlines()[-1])
