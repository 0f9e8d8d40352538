# The template's: updates improve this file and keep your edits.
"""The command line: reads the settings, then runs one command; see commands/.

Whatever needs torch is imported inside the command that needs it, so that `--help` and a misspelt
setting don't wait for it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import OmitSubcommandPrefixes, subcommand

from .commands import COMMANDS
from .commands.base import Command, Step
from .commands.training import DISK
from .config import Config, from_dict, merge, read, to_dict
from .errors import NAME, ConfigError, ProjectError, RunError

DEBUG: dict[str, Any] = {
    "training": {"max_steps": 2, "warmup_steps": 0, "log_every": 1, "evaluate_every": 1},
    "overfit": {"loss_threshold": 1e9},  # two steps can't learn anything
}
"""What `--debug` lays over the config: two batches, everything said."""

PROFILE: dict[str, Any] = {
    "training": {"max_steps": 15, "warmup_steps": 0, "log_every": 15, "evaluate_every": 15}
}
"""What `--profile` lays over it: see training/profiling.py."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Gives the exit code: 0 passed, 1 failed, 2 wrong input, 75 try again."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command = _parse(argv)
        logging.basicConfig(format="%(name)s: %(message)s")
        logging.getLogger(__package__).setLevel(logging.DEBUG if command.debug else logging.INFO)
        return command()
    except ProjectError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:  # a folder without permission, a full disk
        if error.filename is None and error.errno not in DISK:
            raise
        print(f"{error.filename or 'writing'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _parse(argv: list[str]) -> Command:
    """Read the config first: it gives the command line its defaults."""
    name = argv[0] if argv else ""
    goes_by_settings = issubclass(COMMANDS.get(name, Step), Step)
    settings = from_dict(_stated(name, argv) if goes_by_settings else {})
    kinds: Any = None
    for title, kind in COMMANDS.items():
        values: dict[str, Any] = {
            each.name: tyro.MISSING
            for each in fields(kind)
            if each.default is MISSING and each.default_factory is MISSING
        }
        if title == name and issubclass(kind, Step):
            values["settings"] = settings
        offered = Annotated[kind, subcommand(title, default=kind(**values))]
        kinds = offered if kinds is None else kinds | offered
    return tyro.cli(kinds, args=argv, prog=NAME, config=(OmitSubcommandPrefixes,))


def _stated(name: str, argv: list[str]) -> dict[str, Any]:
    """The settings that the config file states, or the run that is continued or evaluated."""
    stated: dict[str, Any] = {}
    run = _value("--resume", argv)
    if name == "evaluate" and not {"-h", "--help"} & set(argv):
        if len(argv) < 2 or argv[1].startswith("-"):
            raise RunError(f"evaluate: expected a run first: {NAME} evaluate RUN [options]")
        run = argv[1]
    if file := _value("--config", argv):
        stated = read(Path(file))
        for other, kind in COMMANDS.items():
            if kind.table and kind.table in stated:
                if other != name:
                    raise ConfigError([f"{file} is for {NAME} {other} --config {file}"])
                del stated[kind.table]
    elif run:
        from .training.run import Run

        stated = _known(read(Run.open(Path(run)).config), to_dict(Config()))
    elif original := _value("--from-run", argv):
        from .training.run import Run

        recorded = Run.open(Path(original)).read_provenance()["config"]
        stated = _known(recorded, to_dict(Config()))
    for flag, layer in (("--profile", PROFILE), ("--debug", DEBUG)):
        if flag in argv and not run:
            stated = merge(stated, layer)
    return stated


def _known(stated: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """An earlier run's settings without those that the project has lost since."""
    return {
        name: _known(value, settings[name]) if isinstance(value, dict) else value
        for name, value in stated.items()
        if name in settings
    }


def _value(flag: str, argv: list[str]) -> str | None:
    for at, word in enumerate(argv):
        if word == flag and at + 1 < len(argv):
            return argv[at + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return None


if __name__ == "__main__":
    sys.exit(main())
