"""The command line of `ml-architect`."""

from __future__ import annotations

import argparse
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from .commands import add_commands
from .errors import CommandError, nearest
from .generate.origin import PACKAGE


class Parser(argparse.ArgumentParser):
    """Says one line where argparse says several."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser`."""
        if wrong := re.search(r"COMMAND: invalid choice: '(.*?)'", message):
            commands = re.findall(r"[a-z]+", message.partition("choose from")[2])
            hint = nearest(wrong[1], commands, f"expected one of {', '.join(commands)}.")
            raise CommandError(f"{wrong[1]}: no such command; {hint} See: {self.prog} --help")
        raise CommandError(f"{message}. See: {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0: done or passed; 1: done with conflicts, declined, or failed; 2: wrong input; 75: stopped
        and resumable; 130: stopped by Ctrl-C; 143: by SIGTERM.
    """
    warnings.showwarning = _show_warning
    before = signal.signal(signal.SIGTERM, _stop)  # so that unfinished files are removed
    try:
        given = _parser().parse_args(arguments)
        return given.run(given)
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        print(f"{place}{error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped{_nothing_written(arguments)}", file=sys.stderr)
        return 130
    except Stopped:
        print(f"stopped{_nothing_written(arguments)}", file=sys.stderr)
        return 143
    finally:
        signal.signal(signal.SIGTERM, before)


def _nothing_written(arguments: Sequence[str] | None) -> str:
    """What a stopped command left behind, where that is certain."""
    words = sys.argv[1:] if arguments is None else arguments
    return "; nothing was written" if {"new", "update", "adopt"} & set(words[:1]) else ""


class Stopped(BaseException):
    """SIGTERM, which cleans up on its way out as Ctrl-C does."""


def _stop(*_: object) -> NoReturn:
    raise Stopped


def _show_warning(message: Warning | str, *_: object) -> None:
    """Copier's warnings without the line of Copier's code that raised them."""
    print(message, file=sys.stderr)


def _parser() -> Parser:
    parser = Parser(
        prog="ml-architect",
        description="Start machine-learning projects, keep them up to date, study their runs.",
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    new = commands.add_parser("new", help="start a project: asks, shows, writes")
    new.add_argument("destination", metavar="DEST", type=Path, help="folder of the project")
    new.add_argument("--defaults", action="store_true", help="ask nothing, take every default")
    new.add_argument("--answers", metavar="FILE", type=Path, help="YAML file, name to answer")
    new.set_defaults(run=_new)
    update = commands.add_parser("update", help="bring a project to the newest practice")
    update.add_argument("project", metavar="PROJECT", type=Path, nargs="?", default=Path())
    update.add_argument("--yes", action="store_true", help="show, and do it without asking")
    update.add_argument("--preview", action="store_true", help="show, and change nothing")
    update.add_argument("--why", action="store_true", help="show all that the changelog says")
    update.set_defaults(run=_update)
    adopt = commands.add_parser("adopt", help="bring an existing project under the template")
    adopt.add_argument("project", metavar="PROJECT", type=Path, nargs="?", default=Path())
    adopt.add_argument("--defaults", action="store_true", help="ask nothing that can be read")
    adopt.add_argument("--branch", metavar="NAME", default="ml-architect", help="a new one")
    adopt.set_defaults(run=_adopt)
    for each in (new, update, adopt):
        each.add_argument(
            "--data", metavar="NAME=ANSWER", action="append", default=[], help="answer a question"
        )
    explain = commands.add_parser("explain", help="what each option buys and costs")
    explain.add_argument("words", metavar="NAME", nargs="*", help="a question, or an option")
    explain.set_defaults(run=_explain)
    for each in (new, update, adopt, explain):
        each.add_argument("--template", metavar="ADDRESS", help="another template than our own")
        each.add_argument("--version", metavar="VERSION", help="a tag of it; else the newest")
    add_commands(commands)
    return parser


def _version() -> str:
    try:
        return f"{PACKAGE} {version(PACKAGE)}"
    except PackageNotFoundError:
        return f"{PACKAGE} isn't installed: it runs from a folder"


def _new(given: argparse.Namespace) -> int:
    from rich.console import Console

    from .generate.new import New, read_answers
    from .generate.origin import template_address
    from .generate.template import require_git

    require_git()
    data = read_answers(given.answers) if given.answers else {}
    New(
        destination=given.destination,
        address=template_address(given.template),
        version=given.version,
        data=data | _data(given.data),
        defaults=given.defaults or given.answers is not None,
    )(Console())
    return 0


def _update(given: argparse.Namespace) -> int:
    from rich.console import Console

    from .generate.origin import template_address
    from .generate.template import require_git
    from .generate.update import Update

    require_git()
    passed = Update(
        project=given.project,
        address=template_address(given.template),
        version=given.version,
        data=_data(given.data),
        yes=given.yes,
        preview=given.preview,
        why=given.why,
        command=_update_command(given),
    )(Console())
    return 0 if passed else 1


def _update_command(given: argparse.Namespace) -> str:
    """What does what `--preview` has shown."""
    words = [PACKAGE, "update"]
    if given.project != Path():
        words.append(str(given.project))
    words += [f"--data={each}" for each in given.data]
    for name in ("template", "version"):
        if value := getattr(given, name):
            words.append(f"--{name}={value}")
    return shlex.join(words)


def _adopt(given: argparse.Namespace) -> int:
    from rich.console import Console

    from .generate.adopt import Adopt
    from .generate.origin import template_address
    from .generate.template import require_git

    require_git()
    Adopt(
        project=given.project,
        address=template_address(given.template),
        version=given.version,
        data=_data(given.data),
        defaults=given.defaults,
        branch=given.branch,
    )(Console())
    return 0


def _explain(given: argparse.Namespace) -> int:
    from copier._main import Worker
    from copier._settings import SettingsModel

    from .generate.explain import explain
    from .generate.origin import template_address
    from .generate.template import copiers_errors, load_catalogue, newest, require_git

    require_git()
    address = template_address(given.template)
    with (
        copiers_errors(address, given.version),
        Worker(
            src_path=address,
            vcs_ref=newest(address, given.version),
            settings=SettingsModel(),
            quiet=True,
        ) as worker,
    ):
        print(explain(load_catalogue(worker.template.local_abspath), given.words))
    return 0


def _data(pairs: Sequence[str]) -> dict[str, Any]:
    """`name=answer`, as Copier takes it."""
    data: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CommandError(
                f"--data {pair}: expected NAME=ANSWER, such as --data tracker=mlflow"
            )
        data[name] = value
    return data
