# The template's: updates improve this file and keep your edits.
"""Steps 1 and 2: look at the data with a script of your own, then at every record of it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tyro.conf import FlagCreatePairsOff, Positional, arg

from ..errors import NAME, RunError, command_line
from .base import Command, Step, following
from .ledger import Ledger

SCRIPTS = Path("scripts/throwaway")
REPORT = Path("runs/data.html")


@dataclass(frozen=True, kw_only=True)
class Explore(Command):
    """Step 1. Run a throwaway script, and say what it wrote."""

    number = 1
    usual = "explore"

    script: Positional[Annotated[Path, arg(metavar="[SCRIPT]")]] = SCRIPTS / "explore.py"
    """Of scripts/throwaway/, by its path or its name."""
    arguments: Positional[Annotated[tuple[str, ...], arg(metavar="[ARGUMENT…]")]] = ()
    """What the script is given."""

    def __call__(self) -> int:
        """See `Command`."""
        script = _script(self.script)
        before = _written()
        done = subprocess.run([sys.executable, str(script), *self.arguments], check=False)
        wrote = [path for path, changed in _written().items() if before.get(path) != changed]
        passed, where = done.returncode == 0, ", ".join(map(str, wrote)) or "in what it printed"
        print(f"{'Passed: it ran' if passed else f'Failed: it ended with {done.returncode}'}.")
        print(f"What it wrote: {where}" if wrote else "It wrote nothing in runs/.")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"passed": passed, "said": f"{script.name} ran", "where": where, "at": now}
        entry |= {"command": command_line(), "config": {}, "file": None, "over_file": {}}
        Ledger().write(Explore, {**entry, "code": {}, "data": ""})
        if passed:
            print(f"Next: {NAME} {following(self)}")
        return 0 if passed else 1


def _script(given: Path) -> Path:
    """The script that is meant.

    Raises:
        RunError: there is none of that name; the message names the nearest.
    """
    for path in (given, SCRIPTS / given, SCRIPTS / f"{given}.py"):
        if path.is_file():
            return path
    names = [path.name for path in sorted(SCRIPTS.glob("*.py"))]
    near = get_close_matches(given.name, names, n=1, cutoff=0.5) or names
    hint = f"did you mean {near[0]}?" if near else f"expected a script in {SCRIPTS}/"
    raise RunError(f"{given}: no such script; {hint}")


def _written() -> dict[Path, int]:
    """The files right in runs/, with the time of their last change."""
    return {path: path.stat().st_mtime_ns for path in sorted(Path("runs").glob("*.*"))}


def expired(today: date) -> Iterator[str]:
    """Throwaway scripts that are past the date in their first line, or have none; a line each."""
    for path in sorted(SCRIPTS.glob("*.*")):
        if path.name == "README.md":
            continue
        first, *_ = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
        stated = re.search(r"\d{4}-\d{2}-\d{2}", first)
        try:
            until = date.fromisoformat(stated[0]) if stated else None
        except ValueError:
            until = None
        if until is None:
            yield f"{path}: its first line has no date on which it may go; see {SCRIPTS}/README.md"
        elif today > until:
            yield f"{path}: was to go on {until}; move what proved itself to src/, and delete it"


@dataclass(frozen=True, kw_only=True)
class Validate(Step):
    """Step 2. Check every record against the schema, and the splits against each other."""

    number = 2
    usual = "validate"
    code = ("data",)

    report: FlagCreatePairsOff[bool] = False
    """Write a page with every problem and pictures of the distributions, too."""

    def __call__(self) -> int:
        """See `Command`."""
        from ..data import cache
        from ..protocols import SPLITS

        config = self.settings.data
        findings, classes = cache.validate(config), cache.schema(config).classes
        table = Table("", *SPLITS, box=None)
        table.add_row("records", *(str(findings.sizes[split]) for split in SPLITS))
        for label, name in enumerate(classes[:20]):  # more would fill a terminal
            counts = (str(findings.labels[split, label]) for split in SPLITS)
            table.add_row(f"class {escape(name)}", *counts)
        Console().print(table)
        for kind, count in Counter(each.kind for each in findings.remarks).items():
            these = [str(each) for each in findings.remarks if each.kind == kind]
            more = f"\n  and {count - 5} more, see --report" if count > 5 else ""
            print(f"Worth a look, {kind}:", *these[:5], sep="\n  ", end=f"{more}\n")
        if self.report:
            from ..data.report import write_report

            REPORT.parent.mkdir(parents=True, exist_ok=True)
            write_report(REPORT, findings, classes)
            print(f"The page, with the distributions: {REPORT}")
        if findings.problems and not self.debug:
            said = f"{len(findings.problems)} problems"
            Ledger().note(self, passed=False, said=said, where="", data="")
        findings.raise_problems()
        folder = cache.prepare(config)
        said = f"{findings.sizes.total()} records fit the schema, and no split leaks."
        return self.conclude(True, said, where=folder, data=cache.digest(folder))
