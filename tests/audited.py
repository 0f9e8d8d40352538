"""Renders a template while Python's audit hook writes down what it does to the machine.

    python tests/audited.py TEMPLATE DESTINATION NAME=ANSWER…

Prints one JSON object: each socket, each process with its arguments, each path that was changed.
See https://docs.python.org/3/library/audit_events.html. Imports come first: they are Copier's, and
happen whatever the template is. Linux: a file that is named beside an open folder is found there.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import copier

import_module("copier_template_extensions")  # what _jinja_extensions names

PROCESSES = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn"}
CHANGES = {
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.utime",
    "shutil.rmtree",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main(template: str, destination: str, *pairs: str) -> None:
    """Render, then say what was seen."""
    seen: dict[str, list[Any]] = {"sockets": [], "processes": [], "changed": []}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith("socket."):
            seen["sockets"].append(event)
        elif event in PROCESSES:
            seen["processes"].append([str(each) for each in arguments[1]])
        elif event in CHANGES:
            folder = arguments[-1]  # of what is removed in a tree: an open folder, or -1
            beside = f"/proc/self/fd/{folder}" if isinstance(folder, int) and folder >= 0 else "."
            paths = [os.fsdecode(each) for each in arguments if isinstance(each, (str, bytes))]
            seen["changed"] += [str(Path(beside).resolve() / each) for each in paths]
        elif event == "open" and isinstance(arguments[0], (str, bytes)):
            path, _, flags = arguments
            if flags & WRITING:
                seen["changed"].append(str(Path(os.fsdecode(path)).absolute()))

    sys.addaudithook(hook)
    copier.run_copy(
        template,
        destination,
        data=dict(pair.split("=", 1) for pair in pairs),
        defaults=True,
        quiet=True,
        unsafe=True,
        settings=copier.Settings(),
    )
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
