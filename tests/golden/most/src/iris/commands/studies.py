# The template's: updates improve this file and keep your edits.
"""Steps 5 and 6: the studies, each of which trains several runs. All go on where they stopped."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from rich.table import Table
from tyro.conf import arg

from ..config import from_dict, merge, read, to_dict
from ..errors import NAME, ConfigError, Problem
from .base import Step
from .ledger import beyond
from .training import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STUDIES = (*MODEL, "studies/plan.py", "studies/runs.py")


@dataclass(frozen=True, kw_only=True)
class Study(Step):
    """What the studies have in common."""

    study: Annotated[str, arg(metavar="NAME")] = ""
    """Name of the folder in runs/; by default the config file's."""
    processes: int = 1
    """Runs that train at a time."""

    def _stated(self) -> tuple[Any, dict[str, Any]]:
        """The study's own table of the config file, and the settings that it states.

        Raises:
            ConfigError: there is no such table.
        """
        if self.processes < 1:
            raise ConfigError([Problem("--processes", self.processes, "at least 1")])
        stated = read(self.config) if self.config else {}
        if self.table not in stated:
            where = self.config or "the command line"
            raise ConfigError(
                [f"{where}: expected a table [{self.table}]; usual is {NAME} {self.usual}"]
            )
        return stated.pop(self.table), stated

    def _folder(self) -> Path:
        """Where the study lies; the one of --debug is begun anew each time."""
        from ..studies.runs import study_folder

        assert self.config is not None, "it has the table"
        folder = study_folder((self.study or self.config.stem) + ("-debug" if self.debug else ""))
        if self.debug:
            shutil.rmtree(folder, ignore_errors=True)
        return folder

    def _data(self) -> str:
        from ..data.cache import digest
        from ..training.loop import records

        return digest(records(self.settings, "train").folder)


def show(rows: Iterable[Sequence[str]], header: Sequence[str]) -> None:
    """Print a table."""
    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False)


@dataclass(frozen=True, kw_only=True)
class Scale(Study):
    """Step 5. Train on more and more data, with larger and larger models; fit what that buys."""

    number = 5
    usual = "scale --config configs/scale.toml"
    code = (*STUDIES, "studies/scaling.py")
    table = "scale"

    def __call__(self) -> int:
        """See `Command`."""
        table, _ = self._stated()
        from ..studies.plan import ScalePlan

        plan = ScalePlan.parse(table, self.settings)
        from ..studies import scaling

        if self.debug:
            plan = replace(plan, shares=plan.shares[-2:])
        folder = self._folder()
        found = scaling.scale(plan, folder, self.processes, Console())
        report = folder / "report.html"
        scaling.write_report(report, found)
        show(scaling.rows(found), scaling.HEADER)
        for size, law in found.laws.items():
            print(f"{size}: {law}" if size else law)
        problems, laws = found.problems(), found.laws.items()
        fall = ", ".join(f"{size or 'it'} as records^{-law.exponent:.2f}" for size, law in laws)
        well = f"every rung is done, and the loss falls: {fall}."
        if self.debug:  # two steps can't learn anything
            problems, well = list(found.failures.values()), "every rung is done."
        said = "; ".join(problems) or well
        where = f"{report}, {folder / 'curve.png'}"
        return self.conclude(not problems, said, where=where, data=self._data())


@dataclass(frozen=True, kw_only=True)
class Tune(Study):
    """Step 6. Choose settings by trials; any number of these commands may share a study."""

    number = 6
    usual = "tune --config configs/tune.toml"
    code = (*STUDIES, "studies/tuning.py", "studies/trials.py")
    table = "tune"

    storage: Annotated[str, arg(metavar="URL")] = ""
    """Database for the trials, as SQLAlchemy names it; by default a file in the study's folder.
    Its password is best left to PGPASSWORD or ~/.pgpass, since others can see command lines."""

    def __call__(self) -> int:
        """See `Command`."""
        table, stated = self._stated()
        from ..studies.plan import TunePlan

        plan = TunePlan.parse(table, self.settings)
        from ..studies import tuning

        if self.debug:
            plan = replace(plan, trials=min(plan.trials, 2))
        folder, url = self._folder(), "" if self.debug else self.storage
        found = tuning.tune(plan, self.settings, folder, url, self.processes, Console())
        report, best = folder / "report.html", folder / "best.toml"
        tuning.write_report(report, found)
        if found.complete:
            over = beyond(to_dict(self.settings), to_dict(from_dict(stated)))
            tuning.write_best(best, found, merge(stated, over))
            print("It is the best of many on the validation split, hence looks better than it is.")
        return self.conclude(
            bool(found.complete),
            str(found),
            where=f"{best}, {report}",
            data=self._data(),
            then=f"train --config {best} --run-name {folder.name}-best",
        )


@dataclass(frozen=True, kw_only=True)
class Ablate(Study):
    """Step 6. Take one thing away at a time, with several seeds; see what it was worth."""

    number = 6
    usual = "ablate --config configs/ablate.toml"
    code = (*STUDIES, "studies/ablation.py")
    table = "ablate"

    def __call__(self) -> int:
        """See `Command`."""
        table, _ = self._stated()
        from ..studies.plan import AblatePlan

        plan = AblatePlan.parse(table, self.settings)
        from ..studies import ablation

        if self.debug:
            plan = replace(plan, seeds=plan.seeds[:2])
        folder = self._folder()
        found = ablation.ablate(plan, self.settings, folder, self.processes, Console())
        report = folder / "report.html"
        ablation.write_report(report, found)
        show(ablation.rows(found), ablation.HEADER)
        print(f"All of {found}.")
        print(*found.verdicts(), sep="\n")
        failed = [f"{run}: {reason}" for run, reason in found.failures.items()]
        certain = [name for name, effect in found.effects.items() if effect.is_certain]
        said = "; ".join(failed) or (
            f"{len(plan.changes)} changes with {len(plan.seeds)} seeds; "
            f"certain effects: {', '.join(certain) or 'none'}."
        )
        where = f"{folder / 'table.md'}, {report}"
        return self.conclude(not failed, said, where=where, data=self._data())
