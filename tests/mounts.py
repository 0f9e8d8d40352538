"""Full disks and read-only folders that only a test's own commands see."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

USER = ["--map-root-user"] if os.geteuid() else []
UNSHARE = ["unshare", "--mount", *USER]


def can_mount() -> bool:
    """Whether this user can mount a file system that no other process sees."""
    command = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


needs_mounts = pytest.mark.skipif(
    "CI" not in os.environ and not can_mount(),
    reason="mounting requires root, or user namespaces for everybody",
)


@dataclass(frozen=True)
class Mounts:
    """The mounts of a process that does nothing else."""

    pid: int

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a fork (see forks.py) that sees them."""
        return {"MOUNTS_OF": str(self.pid)}

    def shell(self, script: str, *arguments: str | Path) -> None:
        """Run a shell script that sees or changes them."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--wd"]
        enter += ["--user", "--preserve-credentials"] if USER else []
        subprocess.run([*enter, "sh", "-euc", script, "sh", *arguments], check=True)


@contextmanager
def mounted(folder: Path, script: str) -> Generator[Mounts]:
    """Mounts by a shell script in this folder, until the end of the block."""
    command = [*UNSHARE, "sh", "-c", "echo && exec sleep infinity"]
    holder = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        assert holder.stdout.readline(), "no mount namespace"
        mounts = Mounts(holder.pid)
        mounts.shell(script)
        yield mounts
    finally:
        holder.kill()
        holder.communicate()
