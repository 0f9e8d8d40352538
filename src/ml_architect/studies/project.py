"""A project's command line, as studies use it: docs/run-format.md."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from ..errors import CommandError
from ..runs.run import find_root

STORAGE_VARIABLE = "ML_ARCHITECT_STORAGE"
"""Environment variable with the address of a database, which may contain a password."""

Settings = dict[str, Any]


@dataclass(frozen=True)
class Project:
    """A project and the command that trains its runs."""

    root: Path
    command: tuple[str, ...]

    def resolve(self, settings: Mapping[str, Any]) -> Settings:
        """Complete the settings by `train --dry-run`.

        Raises:
            CommandError: the project refuses the settings; the message is the project's own.
        """
        with tempfile.TemporaryDirectory(prefix="ml-architect-") as folder:
            file = Path(folder) / "config.toml"
            file.write_text(tomli_w.dumps(settings), encoding="utf-8")
            arguments = ["train", "--config", str(file), "--dry-run"]
            done = self._run(arguments)
            message = done.stderr.strip().replace(f"{file}: ", "").replace(str(file), "the config")
        if done.returncode == 2:
            raise CommandError(message or "the project refuses the config without a message")
        shown = shlex.join([*self.command, "train", "--dry-run"])
        if done.returncode != 0:
            lines = message.splitlines()[-5:] or ["no message"]
            raise CommandError(
                f"`{shown}` exited with {done.returncode}, expected 0 or 2:\n" + "\n".join(lines)
            )
        if not done.stdout.strip():
            raise CommandError(f"`{shown}` printed nothing; expected the resolved config")
        try:
            return tomllib.loads(done.stdout)
        except tomllib.TOMLDecodeError as error:
            raise CommandError(
                f"`{shown}` has to print the resolved config as TOML, and nothing else, on "
                f"standard output: {error}"
            ) from None

    def resolve_all(self, variants: Sequence[tuple[str, Settings]]) -> list[Settings]:
        """`resolve` several settings at the same time.

        Args:
            variants: settings, each with a name for messages, such as `scale.sizes.wide`.

        Raises:
            CommandError: the project refuses some; with the project's messages.
        """
        configs: list[Settings] = []
        problems: list[str] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            futures = [pool.submit(self.resolve, settings) for _, settings in variants]
        for (name, _), future in zip(variants, futures, strict=True):
            try:
                configs.append(future.result())
            except CommandError as error:
                problems += [f"{name}: {line}" for line in str(error).splitlines()]
        if problems:
            raise CommandError("\n".join(dict.fromkeys(problems)))
        return configs

    def require_valid(self, arguments: Sequence[str], processes: int = 1) -> None:
        """Let the project check the command line of a training, by `--dry-run`.

        Raises:
            CommandError: the project refuses it; the message is the project's own. Or so many
                processes can't share a batch.
        """
        done = self._run([*arguments, "--dry-run"])
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            shown = shlex.join([*self.command, *arguments, "--dry-run"])
            lines = lines if done.returncode == 2 else lines[-5:]  # of a traceback
            message = "\n".join(lines) or f"`{shown}` exited with {done.returncode}"
            raise CommandError(message)
        try:
            parts = tomllib.loads(done.stdout)["training"]["parts"]
            each = parts // processes
        except (tomllib.TOMLDecodeError, KeyError, TypeError):  # a project of another kind
            return
        if each * processes != parts or each & (each - 1):
            raise CommandError(
                f"training.parts = {parts}: {processes} processes share the parts of a batch, so "
                f"expected {processes}, {2 * processes}, {4 * processes}, …: add "
                f"--training.parts {processes}"
            )

    def python(self) -> list[str]:
        """How to start the Python that the command runs in: words of a command line.

        Raises:
            CommandError: the command doesn't show it.
        """
        for number, word in enumerate(self.command):
            if re.fullmatch(r"python[\d.]*(\.exe)?", Path(word).name):
                return list(self.command[: number + 1])
        if self.command[1:2] == ("run",):  # of uv, pixi, poetry, conda and others
            return [*self.command[:-1], "python"]
        script = shutil.which(self.command[0])
        if script and (python := shutil.which("python", path=str(Path(script).parent))):
            return [python]
        raise CommandError(
            f"{shlex.join(self.command)}: expected a command that shows its Python, such as "
            '--command "python train.py"'
        )

    def environment(self) -> dict[str, str]:
        """The environment of runs, without the password of the study's database."""
        return {name: value for name, value in os.environ.items() if name != STORAGE_VARIABLE}

    def _run(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [*self.command, *arguments],
                cwd=self.root,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise CommandError(
                f"{self.command[0]}: {error.strerror}; expected a command that trains, such as "
                '--command "uv run digits"'
            ) from None


def find_project(command: str | None) -> Project:
    """The project of the current folder.

    Args:
        command: to start it, such as `uv run digits`; by default the script in `pyproject.toml`.

    Raises:
        CommandError: there is no script, there are several, or it isn't installed.
    """
    if command is not None:
        try:
            words = shlex.split(command)
        except ValueError:
            words = []
        if not words:
            raise CommandError(
                f'--command {command!r}: expected a command, such as --command "uv run digits"'
            )
        return Project(Path.cwd(), tuple(words))
    try:
        return find_script(find_root())
    except CommandError as error:
        raise CommandError(f'{error}. Or give the command: --command "python train.py"') from None


def find_script(root: Path) -> Project:
    """The project of a folder, with the one script of its `pyproject.toml`.

    Raises:
        CommandError: there is no script, there are several, or it isn't installed.
    """
    file = root / "pyproject.toml"
    if not file.exists():
        raise CommandError(f"{root}: no pyproject.toml here or above. Go to a project's folder")
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CommandError(f"{file}: {error}") from None
    scripts = list(content.get("project", {}).get("scripts", {}))
    if len(scripts) != 1:
        given = f"has the scripts {', '.join(scripts)}" if scripts else "has no [project.scripts]"
        raise CommandError(f"{file} {given}; expected one, which trains")
    return Project(root, (_find_executable(scripts[0], root),))


def _find_executable(name: str, root: Path) -> str:
    """The script of the active environment, or of the project's own."""
    folder = "Scripts" if sys.platform == "win32" else "bin"
    active = os.environ.get("VIRTUAL_ENV")
    search = [str(Path(active) / folder)] if active else []
    search += [os.environ.get("PATH", ""), str(root / ".venv" / folder)]
    for path in search:
        if executable := shutil.which(name, path=path):
            return executable
    raise CommandError(
        f"{name}: not installed in the active environment or in {root / '.venv'}. First: "
        f"pip install --editable {root}"
    )
