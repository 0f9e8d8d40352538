"""Python processes of generated projects, without the seconds in which each imports torch.

A server imports torch once and forks for each command. The fork is a process like any other: it has
its own id, can be killed, and is waited for.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ENVIRONMENT = Path(os.environ.get("PROJECT_VENV", Path(__file__).parents[1] / ".venv-project"))
PYTHON = str(ENVIRONMENT / "bin/python")

# Reads requests until its standard input, a socket, is closed. The fork leaves the loop and ends as
# a script does, with its exit handlers.
SERVER = """
import ctypes, gc, json, os, runpy, socket, sys
import matplotlib.figure, sklearn.metrics, torch, torch.utils.data

gc.freeze()
server = socket.socket(fileno=0)
request = {}
while not request:
    message, streams, _, _ = socket.recv_fds(server, 2**20, 3)
    if not message:
        os._exit(0)
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os.close(writer)
        server.sendall(os.read(reader, 100))
        for descriptor in (reader, *streams):
            os.close(descriptor)
    elif grandchild := os.fork():  # which the test becomes the parent of
        os.write(writer, str(grandchild).encode())
        os._exit(0)
    else:
        request = json.loads(message)
server.detach()
for number, stream in enumerate(streams):
    os.dup2(stream, number)
    os.close(stream)
os.close(reader)
os.close(writer)
if request["session"]:
    os.setsid()
if process := request["env"].pop("MOUNTS_OF", ""):  # see mounts.py
    for kind in ("user", "mnt") if os.geteuid() else ("mnt",):
        if ctypes.CDLL(None).setns(os.open(f"/proc/{process}/ns/{kind}", os.O_RDONLY), 0):
            raise OSError(f"can't see the mounts of process {process}")
os.chdir(request["cwd"])
os.environ.clear()
os.environ.update(request["env"])
encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
sys.stdin = open(0, encoding=encoding, closefd=False)
sys.stdout = open(1, "w", encoding=encoding, closefd=False)
sys.stderr = open(2, "w", 1, encoding=encoding, errors="backslashreplace", closefd=False)
sys.path[:0] = ["", *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
kind, *sys.argv[:] = request["arguments"]
del server, request, message, streams, encoding
if kind == "-m":
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
elif kind == "-c":
    code, sys.argv[0] = sys.argv[0], kind
    exec(code)
else:
    sys.argv.insert(0, kind)
    sys.path[0] = os.path.dirname(kind)
    runpy.run_path(kind, run_name="__main__")
"""
PR_SET_CHILD_SUBREAPER = 36


@functools.cache
def server() -> socket.socket:
    here, there = socket.socketpair()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # more threads wouldn't survive a fork
    subprocess.Popen([PYTHON, "-c", SERVER], stdin=there.fileno(), env=environment)
    there.close()
    atexit.register(here.close)
    return here


def adopt_orphans(yes: bool) -> None:
    """Whether a process whose parent has ended becomes a child of this process, or of the first."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


# For -c: torchrun whose processes are forks, too. Its arguments are a network namespace or "", and
# a file or -m with a module.
TORCHRUN = f"""
import ctypes, os, runpy, socket, sys
from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler
sys.path.insert(0, {str(Path(__file__).parent)!r})
import forks
sys.path.pop(0)

namespace, kind, *sys.argv = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
if namespace and libc.setns(os.open(f"/run/netns/{{namespace}}", os.O_RDONLY), 0):
    raise OSError(ctypes.get_errno(), "setns")
here, there = socket.socketpair()
if not os.fork():
    here.close()
    os.dup2(there.detach(), 0)
    exec(forks.SERVER)
    sys.exit()  # here, each fork has ended
there.close()
forks.server = lambda: here
subprocess_handler.Popen = forks.Popen
if kind == "-m":
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    sys.argv.insert(0, kind)
    runpy.run_path(kind, run_name="__main__")
"""


class Popen(subprocess.Popen[Any]):
    """`subprocess.Popen` of Python with -m, -c or a file, as a fork of the server."""

    def _execute_child(self, arguments: list[str], *options: Any) -> None:
        (_, _, _, _, cwd, env, _, _, _, *descriptors) = options[:15]
        p2cread, _, _, c2pwrite, _, errwrite = descriptors
        session = options[20]
        streams = [
            number if descriptor == -1 else descriptor
            for number, descriptor in enumerate((p2cread, c2pwrite, errwrite))
        ]
        request = {
            "arguments": [str(word) for word in arguments[1:] if word != "-u"],
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "session": bool(session),
        }
        connection = server()
        adopt_orphans(True)
        socket.send_fds(connection, [json.dumps(request).encode()], streams)
        self.pid = int(connection.recv(100))
        adopt_orphans(False)  # nobody here would wait for others, and they would stay as zombies
        self._child_created = True
        self._close_pipe_fds(*descriptors)  # type: ignore[attr-defined]


def run(command: list[str], *, check: bool = False, **options: Any) -> Any:
    """`subprocess.run` of such a command."""
    timeout = options.pop("timeout", None)
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **options) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


if __name__ == "__main__":
    sys.exit(run([PYTHON, *sys.argv[1:]]).returncode)
