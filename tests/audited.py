"""Renders a template while Python's audit hook records sockets, processes and changed paths.

    python tests/audited.py TEMPLATE DESTINATION NAME=ANSWER…

Prints one JSON object. See https://docs.python.org/3/library/audit_events.html. Copier is imported
before, since its imports don't depend on the template. Linux only, because of /proc.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import copier

import_module("copier_template_extensions")  # the loader in _jinja_extensions

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
    """Render, and print the events."""
    events: dict[str, list[Any]] = {"sockets": [], "processes": [], "changed": []}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith("socket."):
            events["sockets"].append(event)
        elif event in PROCESSES:
            events["processes"].append([str(word) for word in arguments[1]])
        elif event in CHANGES:
            descriptor = arguments[-1]  # of the parent folder when a tree is removed, or -1
            is_open = isinstance(descriptor, int) and descriptor >= 0
            parent = Path(f"/proc/self/fd/{descriptor}" if is_open else ".").resolve()
            paths = [os.fsdecode(path) for path in arguments if isinstance(path, (str, bytes))]
            events["changed"] += [str(parent / path) for path in paths]
        elif event == "open" and isinstance(arguments[0], (str, bytes)):
            path, _, flags = arguments
            if flags & WRITING:
                events["changed"].append(str(Path(os.fsdecode(path)).absolute()))

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
    print(json.dumps(events))


if __name__ == "__main__":
    main(*sys.argv[1:])
