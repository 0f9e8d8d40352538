"""The command line of `ml-architect`."""

from __future__ import annotations

import argparse
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from .commands import add_commands, no_garbage_collection
from .errors import CommandError, load_yaml, nearest, printable
from .generate.origin import PACKAGE


class Parser(argparse.ArgumentParser):
    """Prints errors in one line, without argparse's usage."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser`."""
        if match := re.search(r"COMMAND: invalid choice: '(.*?)'", message):
            commands = re.findall(r"[a-z]+", message.partition("choose from")[2])
            hint = nearest(match[1], commands, f"expected one of {', '.join(commands)}.")
            raise CommandError(f"{match[1]}: no such command; {hint} See: {self.prog} --help")
        if message.startswith("unrecognized") and sys.argv[1:2] == ["launch"]:
            message += "; what the project is given comes after --"
        raise CommandError(f"{message}. See: {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0: passed; 1: failed, declined, or updated with conflicts; 2: wrong input; 75: stopped and
        resumable; 130: stopped by Ctrl-C; 143: by SIGTERM.
    """
    warnings.showwarning = _show_warning
    before = signal.signal(signal.SIGTERM, _stop)  # to remove unfinished files
    try:
        options = _parser().parse_args(arguments)
        return options.run(options)
    except CommandError as error:
        print(printable(str(error)), file=sys.stderr)
        return error.exit_code
    except OSError as error:
        path = "" if error.filename is None else f"{error.filename}: "
        hint = ""
        if isinstance(error, FileNotFoundError):
            hint = "; was it, or its folder, moved or deleted? Restore it, or start again"
        print(printable(f"{path}{error.strerror}{hint}"), file=sys.stderr)
        return 2
    except MemoryError:
        print("out of memory; raise the limit, see ulimit -v", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped{_nothing_written(arguments)}", file=sys.stderr)
        return 130
    except Stopped:
        print(f"stopped{_nothing_written(arguments)}", file=sys.stderr)
        return 143
    finally:
        signal.signal(signal.SIGTERM, before)


def _nothing_written(arguments: Sequence[str] | None) -> str:
    """A note for the commands that write all or nothing."""
    words = sys.argv[1:] if arguments is None else arguments
    return "; nothing was written" if {"new", "update", "adopt"} & set(words[:1]) else ""


class Stopped(BaseException):
    """Raised by SIGTERM, so that `finally` blocks run as after Ctrl-C."""


def _stop(*_: object) -> NoReturn:
    raise Stopped


def _show_warning(message: Warning | str, *_: object) -> None:
    """Print a warning of Copier's without its line of code."""
    print(message, file=sys.stderr)


def _parser() -> Parser:
    parser = Parser(
        prog="ml-architect",
        description="Start machine-learning projects, keep them up to date, study their runs.",
    )
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="print the version")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    new = commands.add_parser("new", help="make a project: ask, show, write")
    new.add_argument("destination", metavar="DEST", type=_path, help="new folder")
    new.add_argument("--defaults", action="store_true", help="ask nothing; take every default")
    new.add_argument("--answers", metavar="FILE", type=_path, help="YAML file with answers by name")
    new.set_defaults(run=_new)
    update = commands.add_parser(
        "update", help="update a project to a newer template, or change answers"
    )
    update.add_argument("project", metavar="PROJECT", type=_path, nargs="?", default=Path())
    update.add_argument("--yes", action="store_true", help="don't ask for confirmation")
    update.add_argument("--preview", action="store_true", help="only show the changes")
    update.add_argument("--why", action="store_true", help="show the whole changelog")
    update.set_defaults(run=_update)
    adopt = commands.add_parser("adopt", help="add the template's files to an existing project")
    adopt.add_argument("project", metavar="PROJECT", type=_path, nargs="?", default=Path())
    adopt.add_argument("--defaults", action="store_true", help="ask nothing; take every default")
    adopt.add_argument(
        "--branch", metavar="NAME", default="ml-architect", help="name of the new branch"
    )
    adopt.set_defaults(run=_adopt)
    for command in (new, update, adopt):
        command.add_argument(
            "--data", metavar="NAME=ANSWER", action="append", default=[], help="answer a question"
        )
    explain = commands.add_parser("explain", help="show what each option buys and costs")
    explain.add_argument(
        "words",
        metavar="NAME",
        nargs="*",
        help="questions or options; by default this project's choices",
    )
    explain.set_defaults(run=_explain)
    for command in (new, update, adopt, explain):
        command.add_argument("--template", metavar="ADDRESS", help="another template's address")
        command.add_argument("--version", metavar="VERSION", help="a tag; by default the newest")
    add_commands(commands)
    return parser


class ShowVersion(argparse.Action):
    """Prints the version; argparse's own action would read it for every command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """See `argparse.Action`."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"{PACKAGE} {version(PACKAGE)}")
        except PackageNotFoundError:
            print(f"{PACKAGE} isn't installed: it runs from a folder")
        parser.exit()


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        user = text.partition("/")[0]
        raise argparse.ArgumentTypeError(
            f"{text}: {user} is no user; for a folder, ./{text}"
        ) from None


@no_garbage_collection()
def _new(options: argparse.Namespace) -> int:
    from .generate.new import New, read_answers
    from .generate.origin import template_address
    from .generate.template import require_git

    require_git()
    data = read_answers(options.answers) if options.answers else {}
    New(
        destination=options.destination,
        address=template_address(options.template),
        version=options.version,
        data=data | _data(options.data),
        defaults=options.defaults or options.answers is not None,
    )()
    return 0


@no_garbage_collection()
def _update(options: argparse.Namespace) -> int:
    from rich.console import Console

    from .generate.origin import template_address
    from .generate.template import require_git
    from .generate.update import Update

    require_git()
    is_merged = Update(
        project=options.project,
        address=template_address(options.template),
        version=options.version,
        data=_data(options.data),
        yes=options.yes,
        preview=options.preview,
        why=options.why,
        command=_update_command(options),
    )(Console())
    return 0 if is_merged else 1


def _update_command(options: argparse.Namespace) -> str:
    """The command that applies what `--preview` has shown."""
    words = [PACKAGE, "update"]
    if options.project != Path():
        words.append(str(options.project))
    words += [f"--data={answer}" for answer in options.data]
    for name in ("template", "version"):
        if value := getattr(options, name):
            words.append(f"--{name}={value}")
    return shlex.join(words)


@no_garbage_collection()
def _adopt(options: argparse.Namespace) -> int:
    from rich.console import Console

    from .generate.adopt import Adopt
    from .generate.origin import template_address
    from .generate.template import require_git

    require_git()
    Adopt(
        project=options.project,
        address=template_address(options.template),
        version=options.version,
        data=_data(options.data),
        defaults=options.defaults,
        branch=options.branch,
    )(Console())
    return 0


@no_garbage_collection()
def _explain(options: argparse.Namespace) -> int:
    from .generate.explain import explain
    from .generate.origin import template_address
    from .generate.template import ANSWERS, load_catalogue, one_line_errors, require_git
    from .generate.update import find_root, is_same_address, read_recorded
    from .generate.worker import newest, open_template

    require_git()
    address, version = template_address(options.template), options.version
    answers: dict[str, Any] = {}
    root = find_root(Path.cwd())
    if (root / ANSWERS).is_file():
        answers = read_recorded(root)
        if is_same_address(answers["_src_path"], address):
            version = version or answers["_commit"]
    with (
        one_line_errors(address, version),
        open_template(address, newest(address, version)) as worker,
    ):
        catalogue = load_catalogue(worker.template.local_abspath)
        template = f" --template={shlex.quote(address)}" if options.template else ""
        print(explain(catalogue, options.words, answers, template))
    return 0


def _data(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse `name=answer`."""
    data: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CommandError(
                f"--data {pair}: expected NAME=ANSWER, such as --data tracker=mlflow"
            )
        if name == "yours":  # a list; Copier parses it, too, but can't say where it failed
            try:
                load_yaml(value)
            except ValueError as error:
                raise CommandError(
                    f"--data yours: {error}; expected a list, such as yours=[src/digits/cli.py]"
                ) from None
        data[name] = value
    return data
