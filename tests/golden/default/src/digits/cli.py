# The template's: updates improve this file and keep your edits.
"""The command line: reads the settings, then runs one command; see commands/.

Whatever needs torch is imported inside the command that needs it, so that `--help` and a misspelt
setting don't wait for it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import OmitSubcommandPrefixes, subcommand

from .commands import COMMANDS
from .commands.base import Command
from .commands.training import DISK_ERRORS
from .config import Config, flat, from_dict, merge, read, to_dict
from .errors import NAME, ConfigError, ProjectError, RunError

DEBUG: dict[str, Any] = {
    "training": {"max_steps": 2, "warmup_steps": 0, "log_every": 1, "evaluate_every": 1},
    "overfit": {"loss_threshold": 1e9},  # two steps can't learn anything
}
"""Settings of `--debug`."""

PROFILE: dict[str, Any] = {
    "training": {"max_steps": 15, "warmup_steps": 0, "log_every": 15, "evaluate_every": 15}
}
"""Settings of `--profile`: see training/profiling.py."""

STUDIES = ("scale", "tune", "ablate")
"""Tables of a config file that the command `ml-architect` reads, beside the settings."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 passed, 1 failed, 2 wrong input, 3 the run is in use by another process,
        75 stopped and resumable.
    """
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
        if error.filename is None and error.errno not in DISK_ERRORS:
            raise
        print(f"{error.filename or 'writing'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _parse(argv: list[str]) -> Command:
    """Read the config first: the command line gets its defaults from it."""
    name = argv[0] if argv else ""
    settings = Config()
    if name in COMMANDS:
        settings = from_dict(merge(_from_file(name, argv), _from_options(argv)))
    commands: Any = None
    for title, kind in COMMANDS.items():
        values: dict[str, Any] = {
            field.name: tyro.MISSING
            for field in fields(kind)
            if field.default is MISSING and field.default_factory is MISSING
        }
        offered = Annotated[kind, subcommand(title, default=kind(settings=settings, **values))]
        commands = offered if commands is None else commands | offered
    return tyro.cli(commands, args=argv, prog=NAME, config=(OmitSubcommandPrefixes,))


def _from_file(name: str, argv: list[str]) -> dict[str, Any]:
    """The settings of the config file, or of the run that is continued, repeated or evaluated."""
    run = _value("--resume", argv)
    if name == "evaluate" and not {"-h", "--help"} & set(argv):
        if len(argv) < 2 or argv[1].startswith("-"):
            raise RunError(f"evaluate: expected a run first: {NAME} evaluate RUN [options]")
        run = argv[1]
    settings: dict[str, Any] = {}
    if file := _value("--config", argv):
        settings = read(Path(file))
        for study in STUDIES:
            if study in settings:
                raise ConfigError([f"{file} is for: ml-architect {study} {file}"])
    elif run:
        from .training.run import Run

        settings = _known(read(Run.open(Path(run)).config), to_dict(Config()))
    elif original := _value("--from-run", argv):
        from .training.run import Run

        recorded = Run.open(Path(original)).read_provenance()["config"]
        settings = _known(recorded, to_dict(Config()))
    for flag, layer in (("--profile", PROFILE), ("--debug", DEBUG)):
        if flag in argv and not run:
            settings = merge(settings, layer)
    return settings


def _from_options(argv: list[str]) -> dict[str, Any]:
    """The settings on the command line, so that their problems are listed with those of the file.

    What isn't a setting is left to the parser.
    """
    known = flat(to_dict(Config()))
    settings: dict[str, Any] = {}
    for option, value in _options(argv):
        section, _, name = option.removeprefix("--").replace("-", "_").rpartition(".")
        path, off = f"{section}.{name}".lstrip("."), f"{section}.{name.removeprefix('no_')}"
        given: Any = value
        if isinstance(known.get(path), bool) or isinstance(known.get(off), bool):
            path, given = (path, True) if path in known else (off, False)
        elif value is None or (not section and path not in known):
            continue
        elif isinstance(known.get(path), (int, float)):
            with suppress(ValueError):  # left as text, it is refused with what was expected
                given = type(known[path])(value)
        *sections, name = path.split(".")
        for parent in reversed(sections):
            given, name = {name: given}, parent
        settings = merge(settings, {name: given})
    return settings


def _options(argv: list[str]) -> Iterator[tuple[str, str | None]]:
    """Each option with its value, if it has one."""
    for word, following in zip(argv, [*argv[1:], "--"], strict=True):
        option, equals, value = word.partition("=")
        if option.startswith("--"):
            yield option, value if equals else None if following.startswith("--") else following


def _value(option: str, argv: list[str]) -> str | None:
    """The value of an option; the last one counts."""
    given = [value for name, value in _options(argv) if name == option]
    return given[-1] if given else None


def _known(settings: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    """The settings of an earlier run, without those that no longer exist."""
    return {
        name: _known(value, present[name]) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name in present
    }


if __name__ == "__main__":
    sys.exit(main())
